/** The command that is running, for the documents that it writes. */

/** As a POSIX shell takes it. `words` are those behind the program. */
export function ownCommandLine(words: readonly string[] = process.argv.slice(2)): string {
  return ['stratabert', ...words].map(quoted).join(' ')
}

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)
