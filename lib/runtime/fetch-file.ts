/** Downloads an address with curl: it resumes, follows redirects and honours the proxy variables, which Node's own fetch does not. */
import { spawn } from 'node:child_process'
import { existsSync, rmSync, statSync } from 'node:fs'
import { StrataError } from '../errors.js'

const POLL_EVERY_MS = 250
/** The connection broke off in the middle (curl's exit codes 18 and 56): what came so far is kept and continued. */
const BROKE_OFF = [18, 56]
const ATTEMPTS = 20
/** The server cannot begin in the middle: what is there is of no use. */
const NO_RANGES = 33
/** curl's exit code for a status of 400 and above, with --fail. */
const HTTP_ERROR = 22

/** Resumes a part that is there, or begins again where the server cannot do that. `onBytes` gets the bytes on disk so far. */
export async function fetchFile(url: string, path: string, onBytes: (bytes: number) => void): Promise<void> {
  const args = [
    '--fail',
    '--location',
    '--silent',
    '--show-error',
    '--retry',
    '3',
    '--continue-at',
    '-',
    '--output',
    path,
    url,
  ]
  let begunAgain = false
  const timer = setInterval(() => onBytes(existsSync(path) ? statSync(path).size : 0), POLL_EVERY_MS)
  try {
    for (let attempt = 1; ; attempt++) {
      const { status, words } = await curl(args)
      if (status === 0 || (nothingLeft(status, words) && existsSync(path))) return
      const unusable = status === NO_RANGES && !begunAgain && existsSync(path)
      const again = unusable || (status !== null && BROKE_OFF.includes(status))
      if (attempt === ATTEMPTS || !again) throw fetchFailed(url, words)
      if (unusable) {
        rmSync(path)
        begunAgain = true
      }
    }
  } finally {
    clearInterval(timer)
  }
}

/** HTTP 416: an earlier call has fetched the last byte. The caller verifies the hash, and deletes what is wrong. */
function nothingLeft(status: number | null, words: string): boolean {
  return status === HTTP_ERROR && /\b416\b/.test(words)
}

function curl(args: string[]): Promise<{ status: number | null; words: string }> {
  return new Promise((settle) => {
    let stderr = ''
    const child = spawn('curl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8')
    })
    child.on('error', (error) => settle({ status: null, words: `curl cannot be started (${error.message})` }))
    child.on('close', (status) => settle({ status, words: stderr.trim() || `curl ended with ${status}` }))
  })
}

function fetchFailed(url: string, words: string): StrataError {
  return new StrataError(
    'FETCH_FAILED',
    `${url} could not be downloaded: ${words}; expected a reachable file; check the network and proxy, or download it elsewhere and pass --zip FILE`,
    { details: { url } },
  )
}
