import { StrataError } from '../errors.js'

/** `--data NAME=PATH[,PATH…]` of the probing commands: paths by slot. A slot named several times gathers its paths. */
export function probeSlots<Name extends string>(
  options: readonly string[],
  names: readonly Name[],
): Partial<Record<Name, string[]>> {
  const slots: Partial<Record<Name, string[]>> = {}
  for (const option of options) {
    const equals = option.indexOf('=')
    const name = names.find((known) => known === option.slice(0, equals))
    const paths = option.slice(equals + 1).split(',')
    if (equals < 1 || !name || paths.includes('')) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `--data came as "${option}", expected NAME=PATH with a name of ${names.join(', ')}, like ${names[0]}=file`,
      )
    }
    slots[name] = [...(slots[name] ?? []), ...paths]
  }
  return slots
}

/** `--tasks A,B --tasks C` as a list; undefined when none was given. */
export function taskNames(options: readonly string[] | undefined): string[] | undefined {
  return options
    ?.flatMap((option) => option.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '')
}
