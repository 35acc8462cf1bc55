/**
 * The one error type of the package. A message says what came, what was expected and what to do next;
 * `code` is stable and meant for programs.
 */

/** Codes whose cause is the request (wrong argument, file, recipe or machine set-up): the CLI exits with 2. */
const REQUEST_CODES = [
  'BAD_ARGUMENT',
  'BAD_RECIPE',
  'BAD_DATA',
  'BAD_FILE',
  'BAD_CHECKPOINT',
  'NOT_FOUND',
  'UNSUPPORTED',
  'DISPOSED',
  'LIBTORCH_NOT_FOUND',
  'LIBTORCH_VERSION',
  'ADDON_NOT_FOUND',
  'DEVICE_UNAVAILABLE',
] as const

/** Codes of work that failed although the request was right: the CLI exits with 1. */
const FAILURE_CODES = [
  'OUT_OF_MEMORY',
  'NON_FINITE',
  'IO_ERROR',
  'DISK_FULL',
  'READ_ONLY',
  'FETCH_FAILED',
  'HASH_MISMATCH',
  'ABORTED',
  'OVERLOADED',
  'NATIVE_ERROR',
] as const

/** Stable names of what went wrong, for programs; see {@link StrataError.exitCode} for the two kinds. */
export type StrataErrorCode = (typeof REQUEST_CODES)[number] | (typeof FAILURE_CODES)[number]

export interface StrataErrorOptions {
  /** The error that led here. */
  cause?: unknown
  /** Machine-readable facts: file, line, argument name, shapes, steps. */
  details?: Record<string, unknown>
}

/** Every error that the package throws on purpose. */
export class StrataError extends Error {
  override readonly name = 'StrataError'
  /** Stable, for programs. */
  readonly code: StrataErrorCode
  /** Machine-readable facts: file, line, argument, shapes, step; which ones depends on the code. */
  readonly details: Record<string, unknown>

  constructor(code: StrataErrorCode, message: string, options: StrataErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
  }

  /** 2 when the request was wrong, 1 when the work failed. */
  get exitCode(): 1 | 2 {
    return (REQUEST_CODES as readonly string[]).includes(this.code) ? 2 : 1
  }
}

/** True for a code that {@link StrataError} knows. */
export function isStrataErrorCode(code: unknown): code is StrataErrorCode {
  return typeof code === 'string' && ([...REQUEST_CODES, ...FAILURE_CODES] as string[]).includes(code)
}

/** Turns a Node file-system error into a typed one that names the file. `doing` reads like "write the checkpoint". */
export function fileError(error: unknown, path: string, doing: string): StrataError {
  if (error instanceof StrataError) return error
  const systemCode = (error as NodeJS.ErrnoException)?.code ?? 'UNKNOWN'
  const details = { path, systemCode }
  const options = { cause: error, details }
  switch (systemCode) {
    case 'ENOENT':
      return new StrataError('NOT_FOUND', `cannot ${doing}: ${path} does not exist; check the path`, options)
    case 'ENOSPC':
    case 'EDQUOT':
      return new StrataError(
        'DISK_FULL',
        `cannot ${doing}: no space left for ${path}; free some and run again`,
        options,
      )
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return new StrataError(
        'READ_ONLY',
        `cannot ${doing}: ${path} is not writable or readable (${systemCode}); check its permissions`,
        options,
      )
    case 'EISDIR':
      return new StrataError('BAD_FILE', `cannot ${doing}: ${path} is a folder, a file was expected`, options)
    default:
      return new StrataError(
        'IO_ERROR',
        `cannot ${doing}: ${path}: ${(error as Error)?.message ?? String(error)}`,
        options,
      )
  }
}
