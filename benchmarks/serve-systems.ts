/** The programs of the serving benchmark and the settings that each is tuned over. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { benchmarkCache } from './enwiki-batches.js'
import { PeerProcess } from './peer-process.js'
import { ROOT, say, THREADS } from './rounds.js'

/** How a peer that pads cuts sorted texts into batches: by number, or by padded tokens. */
export interface Batches {
  texts?: number
  tokens?: number
}

/** What a program loads (see its file) and how it batches. */
export type Setting = Record<string, unknown> & { batches?: Batches }

export type Mode = 'fp32' | 'bf16' | 'int8'

export interface System {
  name: string
  program: 'stratabert' | 'onnxruntime-node' | 'transformers.js' | 'sentence-transformers'
  mode: Mode
  /** What is best of these is measured; the first is what to take untried. */
  loads: readonly Setting[]
  /** Tried with the best of `loads`, whose trials use the first. */
  batches: readonly Batches[]
}

/** Where the programs find what they load. */
export interface Places {
  model: string
  python: string
  onnx: string
  transformersJs: string
  /** Texts, see serve-texts.ts. */
  texts: string
  environment: Record<string, string>
}

const BY_TEXTS = [32, 8, 16, 64, 128].map((texts) => ({ texts }))
const BY_TOKENS = [1024, 2048, 4096, 8192].map((tokens) => ({ tokens }))
const INT8_FILES = ['-fused', ''].flatMap((graph) =>
  ['pc', 'pt', 'pc-rr', 'pc-u8'].map((kind) => ({ file: `pooled-int8${graph}-${kind}.onnx` })),
)

export const SYSTEMS: readonly System[] = [
  ...(['fp32', 'bf16', 'int8'] as const).map(
    (mode): System => ({
      name: `stratabert-${mode}`,
      program: 'stratabert',
      mode,
      // Its defaults: nothing is tuned.
      loads: [{ precision: mode }],
      batches: [{}],
    }),
  ),
  {
    name: 'ort-fp32',
    program: 'onnxruntime-node',
    mode: 'fp32',
    loads: [{ file: 'pooled-fp32-fused.onnx' }, { file: 'pooled-fp32.onnx' }],
    batches: [...BY_TEXTS, ...BY_TOKENS],
  },
  {
    name: 'ort-int8',
    program: 'onnxruntime-node',
    mode: 'int8',
    loads: INT8_FILES,
    batches: [...BY_TEXTS, ...BY_TOKENS],
  },
  {
    name: 'transformers-js-fp32',
    program: 'transformers.js',
    mode: 'fp32',
    loads: [
      { file: 'fused', dtype: 'fp32' },
      { file: 'plain', dtype: 'fp32' },
    ],
    batches: BY_TEXTS,
  },
  {
    name: 'transformers-js-int8',
    program: 'transformers.js',
    mode: 'int8',
    loads: ['fused-pc', 'fused', 'plain-pc', 'plain'].map((file) => ({ file, dtype: 'q8' })),
    batches: BY_TEXTS,
  },
  ...(['fp32', 'bf16'] as const).map(
    (mode): System => ({
      name: `sentence-transformers-${mode}`,
      program: 'sentence-transformers',
      mode,
      loads: [{ dtype: mode }],
      batches: BY_TEXTS,
    }),
  ),
]

export function startProgram({ name, program }: System, places: Places): PeerProcess {
  const peers = path.join(__dirname, 'peers')
  const [command, folder] = {
    stratabert: [[process.execPath, '--import', 'tsx', path.join(__dirname, 'ours-serve.ts')], places.model],
    'onnxruntime-node': [[process.execPath, path.join(peers, 'serve/ort.mjs')], places.onnx],
    'transformers.js': [[process.execPath, path.join(peers, 'serve/transformers-js.mjs')], places.transformersJs],
    'sentence-transformers': [[places.python, path.join(peers, 'sentence_transformers_serve.py')], places.model],
  }[program] as [string[], string]
  const common = ['--folder', folder, '--texts', places.texts, '--threads', String(THREADS)]
  return new PeerProcess(name, [...command, ...common], {
    OMP_NUM_THREADS: String(THREADS),
    RAYON_NUM_THREADS: String(THREADS),
    TOKENIZERS_PARALLELISM: 'true',
    ...places.environment,
  })
}

/** The interpreter with sentence-transformers and the ONNX tools. */
export function servePython(): string {
  const candidates = [process.env.STRATABERT_SERVE_PYTHON, path.join(ROOT, '.venv-serve/bin/python')]
  const found = candidates.find((candidate) => candidate && existsSync(candidate))
  const node = existsSync(path.join(__dirname, 'peers/serve/node_modules/onnxruntime-node'))
  if (found && node) return found
  throw new Error('the serving peers are not installed: run `npm run bench:setup -- serve` (about 6 GB)')
}

/** Folders with the exported models; made on first use. */
export function exportedModels(model: string, python: string): { onnx: string; transformersJs: string } {
  const base = path.join(benchmarkCache(), 'serve-onnx-v1')
  const onnx = path.join(base, 'onnx')
  const transformersJs = path.join(base, 'transformers-js', path.basename(model))
  if (!existsSync(path.join(onnx, 'export.json'))) {
    say('exporting the model as ONNX, fp32 and int8 (once)')
    mkdirSync(base, { recursive: true })
    const script = path.join(__dirname, 'peers/export_onnx.py')
    const { status } = spawnSync(python, [script, '--model', model, '--output', onnx], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (status !== 0) throw new Error(`${script} ended with ${status}; its messages stand above`)
  }
  for (const name of ['tokenizer.json']) copyFileSync(path.join(model, name), path.join(onnx, name))
  if (!existsSync(transformersJs)) {
    const partial = `${transformersJs}.partial`
    rmSync(partial, { recursive: true, force: true })
    mkdirSync(path.join(partial, 'onnx'), { recursive: true })
    for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
      copyFileSync(path.join(model, name), path.join(partial, name))
    }
    const files = {
      'hidden-fp32.onnx': 'plain.onnx',
      'hidden-fp32-fused.onnx': 'fused.onnx',
      'hidden-int8-pt.onnx': 'plain_quantized.onnx',
      'hidden-int8-fused-pt.onnx': 'fused_quantized.onnx',
      'hidden-int8-pc.onnx': 'plain-pc_quantized.onnx',
      'hidden-int8-fused-pc.onnx': 'fused-pc_quantized.onnx',
    }
    for (const [from, to] of Object.entries(files)) linkSync(path.join(onnx, from), path.join(partial, 'onnx', to))
    renameSync(partial, transformersJs)
  }
  return { onnx, transformersJs }
}

/** Versions that the export used. */
export function exportFacts(onnx: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path.join(onnx, 'export.json'), 'utf8')) as Record<string, unknown>
}
