import { type Command, InvalidArgumentError, Option } from 'commander'
import { StrataError } from '../errors.js'
import type { Values } from '../recipes/index.js'

/** `repeatable` options gather their values. */
export function gather(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}

/** What reads like `encoder.layers=4`. A path with a folder in it does not. */
const SETTING = /^[A-Za-z_][\w-]*(\.[\w-]+)*=/

/**
 * `--set a=1 b=2` as `--set a=1 --set b=2`. What stands behind a setting and reads like one belongs to it; any other word ends the
 * list, so that the recipe may follow. Commander's own lists would take the recipe too.
 */
export function spreadSettings(argv: readonly string[]): string[] {
  let follows = false
  return argv.flatMap((word, index) => {
    if (follows && SETTING.test(word) && argv[index - 1] !== '--set') return ['--set', word]
    follows = word === '--set' || word.startsWith('--set=') || argv[index - 1] === '--set'
    return [word]
  })
}

/** How an option's description ends that must be there, always or where the flag that it names is not. */
const REQUIRED = / \(required(?: without (--[a-z-]+))?\)$/

/** Refuses a missing option. Not left to commander, which would name it before an option that was misspelt. */
export function needOptions(command: Command): void {
  const flag = (long: string): boolean =>
    command.getOptionValue(command.options.find((option) => option.long === long)!.attributeName()) === true
  for (const option of command.options) {
    const required = REQUIRED.exec(option.description)
    if (!required || command.getOptionValue(option.attributeName()) !== undefined) continue
    if (required[1] !== undefined && flag(required[1])) continue
    throw new StrataError(
      'BAD_ARGUMENT',
      `${option.flags} is missing, expected ${option.description.replace(REQUIRED, '')}; see -h`,
    )
  }
}

/** A whole number of at least `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`came "${text}", expected a whole number ≥ ${least}`)
    }
    return value
  }
}

/** A number of any sign. */
export function anyNumber(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new InvalidArgumentError(`came "${text}", expected a number`)
  }
  return value
}

/** `--data NAME=PATH…` as the recipe's `data` slots; a slot named several times takes a list. */
export function dataSlots(options: readonly string[] | undefined): Values {
  const slots: Record<string, string | string[]> = {}
  for (const option of options ?? []) {
    const equals = option.indexOf('=')
    const [name, path] = [option.slice(0, equals), option.slice(equals + 1)]
    if (equals < 1 || path === '') {
      throw new StrataError('BAD_ARGUMENT', `--data came as "${option}", expected NAME=PATH, like corpus=text.txt`)
    }
    slots[name] = name in slots ? [slots[name], path].flat() : path
  }
  return slots
}

const PRECISIONS = {
  /** Of models that only answer. */
  answering: ['fp32', 'bf16', 'int8', 'fp16', 'fp64'],
  /** Of models that are scored; `auto` = bf16 on CUDA, fp32 on the CPU. */
  scoring: ['auto', 'fp32', 'bf16', 'fp16', 'fp64'],
} as const

/** `--precision`, refused before anything is read when it is none. */
export function precisionOption(use: keyof typeof PRECISIONS, fallback: 'auto' | 'fp32'): Option {
  return new Option('--precision <precision>', 'precision of the computation')
    .choices(PRECISIONS[use])
    .default(fallback)
}

/** What every command's help ends with. */
export function example(command: Command, ...lines: string[]): Command {
  return command.addHelpText('after', `\nExample:\n${lines.map((line) => `  $ ${line}`).join('\n')}`)
}
