/**
 * Tells that a call goes on with something else than what was asked for, such as an older checkpoint than a damaged one: as process warnings
 * (`StratabertWarning`), which Node prints on stderr unless the program listens to them. For calls whose result has no place for it.
 */
export function warn(messages: readonly string[]): void {
  for (const message of messages) process.emitWarning(message, { type: 'StratabertWarning' })
}
