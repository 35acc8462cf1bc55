/** What a user should know of a task's data, one sentence each; warnings are those notes that tell what is left out or flawed. */
export class TaskNotes {
  readonly notes: string[] = []
  readonly warnings: string[] = []

  tell(...notes: readonly string[]): void {
    this.notes.push(...notes)
  }

  warn(...warnings: readonly string[]): void {
    this.notes.push(...warnings)
    this.warnings.push(...warnings)
  }
}
