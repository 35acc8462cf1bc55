import { type Command, InvalidArgumentError } from 'commander'
import { StrataError } from '../errors.js'
import type { Values } from '../recipes/index.js'

/** `repeatable` options gather their values. */
export function gather(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}

/** Refuses a missing option. Not left to commander, which would name it before an option that was misspelt. */
export function needOptions(command: Command): void {
  for (const option of command.options) {
    if (!option.description.endsWith('(required)') || command.getOptionValue(option.attributeName()) !== undefined)
      continue
    throw new StrataError(
      'BAD_ARGUMENT',
      `${option.flags} is missing, expected ${option.description.replace(/ \(required\)$/, '')}; see -h`,
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

/** What every command's help ends with. */
export function example(command: Command, ...lines: string[]): Command {
  return command.addHelpText('after', `\nExample:\n${lines.map((line) => `  $ ${line}`).join('\n')}`)
}
