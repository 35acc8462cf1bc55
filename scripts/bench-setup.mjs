// Makes .venv with the Python peers of the benchmarks and of the golden scripts, pinned in benchmarks/peers/requirements.txt. With the argument
// `serve`: .venv-serve (benchmarks/peers/requirements-serve.txt) and the Node peers of the serving benchmark, installed in their own folder,
// so that they are no dependencies of the package.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options })
  if (status !== 0) {
    console.error(
      `error: ${command} ${args.join(' ')} failed${error ? ` (${error.message})` : ''}; Python ≥ 3.10 with venv and pip is needed`,
    )
    process.exit(1)
  }
}

function environment(folder, requirements, show) {
  const venv = path.join(root, folder)
  const python = path.join(venv, 'bin', 'python')
  if (!existsSync(python)) run('python3', ['-m', 'venv', venv])
  run(python, ['-m', 'pip', 'install', '--quiet', '--requirement', path.join(root, 'benchmarks/peers', requirements)])
  run(python, ['-c', show])
}

const what = process.argv[2]
if (what === undefined) {
  const show = 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
  environment('.venv', 'requirements.txt', show)
} else if (what === 'serve') {
  const show =
    'import onnxruntime, sentence_transformers as st; print("sentence-transformers", st.__version__, "onnxruntime", onnxruntime.__version__)'
  environment('.venv-serve', 'requirements-serve.txt', show)
  // The install scripts of the peers would fetch CUDA libraries; their CPU parts are in the packages.
  run('npm', ['ci', '--ignore-scripts'], { cwd: path.join(root, 'benchmarks/peers/serve') })
} else {
  console.error(`error: unknown argument ${what}; known is serve`)
  process.exit(2)
}
