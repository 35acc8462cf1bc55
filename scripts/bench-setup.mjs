// Makes .venv with the Python peers of the benchmarks and of the golden scripts, pinned in benchmarks/peers/requirements.txt.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const venv = path.join(root, '.venv')
const python = path.join(venv, 'bin', 'python')

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) {
    console.error(
      `error: ${command} ${args.join(' ')} failed${error ? ` (${error.message})` : ''}; Python ≥ 3.10 with venv and pip is needed`,
    )
    process.exit(1)
  }
}

if (!existsSync(python)) run('python3', ['-m', 'venv', venv])
run(python, ['-m', 'pip', 'install', '--quiet', '--requirement', path.join(root, 'benchmarks/peers/requirements.txt')])
run(python, [
  '-c',
  'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)',
])
