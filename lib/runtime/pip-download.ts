/**
 * Downloads one pinned wheel through the machine's own pip, which honours that machine's index, proxy and certificate settings. The tags of
 * the pinned file are asked for by name: the interpreter that runs pip may be any version.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import type { PinnedWheel } from './manifest.js'
import { type Environment, pythonProgram } from './platform.js'
import { whatToDo } from './what-to-do.js'

const POLL_EVERY_MS = 250
/** A connection that breaks off is no reason to give up half a gigabyte. */
const ATTEMPTS = 4
/** pip's words for it. */
const BROKE_OFF = /IncompleteRead|incomplete|broken|reset by peer|aborted|timed out|RemoteDisconnected|ProtocolError/i
/** So shows a body that just ends, and another build under the same name, which comes again however often it is asked for. */
const WRONG_HASH = /hash(es)? (do|did|does)? ?n['o]t match|DO NOT MATCH/i
const WRONG_HASH_ATTEMPTS = 2

/**
 * Downloads `file` into `folder`. pip checks the hash itself (`--require-hashes`). `onBytes` gets the bytes on disk so far. A download that breaks
 * off is continued by pip where it can (25.1 and newer), else begun again.
 */
export async function pipDownload(
  file: string,
  wheel: PinnedWheel,
  folder: string,
  environment: Environment,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const python = pythonProgram(environment)
  // pip writes into TMPDIR first and copies then; a folder of ours shows how far it is, and keeps a small /tmp free.
  const temporary = join(folder, 'pip')
  rmSync(temporary, { recursive: true, force: true })
  mkdirSync(temporary, { recursive: true })
  const requirements = join(temporary, 'requirements.txt')
  writeFileSync(requirements, `${wheel.name}==${wheel.version} --hash=sha256:${wheel.sha256}\n`)
  const args = [
    '-m',
    'pip',
    'download',
    '--quiet',
    '--no-input',
    '--no-deps',
    '--no-cache-dir',
    '--require-hashes',
    ...tagOptions(file),
  ]
  args.push('--dest', folder, '--requirement', requirements)
  let wrongHashes = 0
  const timer = setInterval(() => onBytes(folderBytes(temporary)), POLL_EVERY_MS)
  try {
    for (let attempt = 1; ; attempt++) {
      const { status, stderr } = await run(python, args, {
        // An older pip does not know it and passes it over.
        PIP_RESUME_RETRIES: '10',
        ...environment,
        TMPDIR: temporary,
        PIP_DISABLE_PIP_VERSION_CHECK: '1',
        PIP_NO_PYTHON_VERSION_WARNING: '1',
      })
      if (status === 0) return
      if (WRONG_HASH.test(stderr)) wrongHashes++
      const again = WRONG_HASH.test(stderr) ? wrongHashes < WRONG_HASH_ATTEMPTS : BROKE_OFF.test(stderr)
      if (attempt === ATTEMPTS || !again) throw pipFailed(python, file, wheel, stderr)
    }
  } finally {
    clearInterval(timer)
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** `torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl` → the pip options that select exactly it. */
export function tagOptions(file: string): string[] {
  const [pythonTag, abi, platforms] = file
    .replace(/\.whl$/, '')
    .split('-')
    .slice(-3)
  const version = /^cp(\d)(\d+)$/.exec(pythonTag)
  const options = [
    '--only-binary=:all:',
    '--implementation',
    'cp',
    '--abi',
    abi,
    '--python-version',
    version ? `${version[1]}.${version[2]}` : '3.11',
  ]
  if (platforms !== 'any') options.push(...platforms.split('.').flatMap((tag) => ['--platform', tag]))
  return options
}

function run(
  command: string,
  args: string[],
  environment: Environment,
): Promise<{ status: number | null; stderr: string }> {
  return new Promise((resolve) => {
    let stderr = ''
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: environment as NodeJS.ProcessEnv })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8')
    })
    child.on('error', (error) => resolve({ status: null, stderr: error.message }))
    child.on('close', (status) => resolve({ status, stderr }))
  })
}

function pipFailed(python: string, file: string, wheel: PinnedWheel, stderr: string): StrataError {
  const words = stderr.trim().split('\n').slice(-6).join('\n  ')
  const steps = [
    `Python with pip is needed: ${python} -m pip --version (Debian: apt install python3-pip; STRATABERT_PYTHON names another interpreter)`,
    'Behind a proxy or with a mirror of your own: set it in pip’s configuration (pip config set global.index-url …)',
    'Without network: copy a libtorch to this machine and set STRATABERT_LIBTORCH, or use --zip FILE --sha256 HEX',
  ]
  return new StrataError(
    WRONG_HASH.test(stderr) ? 'HASH_MISMATCH' : 'FETCH_FAILED',
    `pip could not download ${wheel.name} ${wheel.version} (${file}); expected SHA-256 ${wheel.sha256}; pip said:\n  ${words}\n` +
      whatToDo(steps),
    { details: { wheel: file, python } },
  )
}

function folderBytes(folder: string): number {
  let bytes = 0
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      bytes += entry.isDirectory() ? folderBytes(path) : statSync(path).size
    }
  } catch {
    // pip removes its folders while they are counted.
  }
  return bytes
}
