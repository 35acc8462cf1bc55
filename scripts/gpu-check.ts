/**
 * The GPU machine check, called by scripts/gpu-check.sh once the addons are built:
 *   gpu-check --device cuda|cpu --python PYTHON --peers FOLDER --work FOLDER
 * Numbers, losses, updates, dropout, memory and training of the device against the CPU's own kernels; then tokens/s of pre-training,
 * examples/s of fine-tuning and peak memory beside Hugging Face on the same device; then the recipe `dacbert` from text to checkpoint.
 * Progress goes to stderr; stdout is one JSON document. Ends with 0 when every bound holds, else 1.
 * On `cpu` the operators are those that a GPU runs (`kernels: 'portable'`) and the shape is tiny: a dry run.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { writeBatchFile } from '../benchmarks/batch-file.js'
import { type PackedBatch, packSequences } from '../lib/data/packed-batch.js'
import { stream } from '../lib/data/random.js'
import {
  deviceMemory,
  encoderConfig,
  hasFlashAttention,
  Model,
  type ModelConfig,
  Optimizer,
  type Precision,
} from '../lib/model/index.js'
import { loadRuntime } from '../lib/runtime/index.js'
import { programArguments } from '../lib/runtime/program.js'
import { parameterGroups } from '../lib/training/index.js'
import { type Check, DEVICE_CHECKS, type Side } from '../test/helpers/device-checks.js'
import { finetuneSpeed } from './gpu-check-finetune.js'
import { type RecipeTraining, recipeTraining } from './gpu-check-recipe.js'

const VOCABULARY = 30522
const SHAPES = {
  tiny: { layers: 2, hiddenSize: 128, heads: 2 },
  base: { layers: 12, hiddenSize: 768, heads: 12 },
} as const

interface Row {
  who: string
  precision: Precision
  shape: keyof typeof SHAPES
  /** Real tokens, one figure a round. */
  tokensPerSecond: number[]
  best: number
  /** GPU: of the allocator. CPU: of the process. */
  peakBytes: number
  problem?: string
}

interface Setting {
  side: Side
  device: string
  shape: keyof typeof SHAPES
  batches: PackedBatch[]
  batchFile: string
  warmup: number
  steps: number
  python: string
  peers: string
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** A program of test/helpers in a process of its own: a broken device context must not spoil the other checks. */
function child(args: string[], timeoutSeconds: number) {
  const program = programArguments(join(__dirname, '..', 'test', 'helpers'), 'device-child')
  return spawnSync(process.execPath, [...program, ...args], {
    encoding: 'utf8',
    timeout: timeoutSeconds * 1000,
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

const failure = (name: string): Check => ({ name, value: 0, rule: 'at least', bound: 1, ok: false })

function runGroup(name: string, device: string, kernels: string): Check[] {
  const { status, signal, stdout, stderr } = child(['check', device, kernels, name], 240)
  if (status !== 0) return [failure(`${name}: the process ended with ${status ?? signal}: ${stderr.slice(-2000)}`)]
  const result = JSON.parse(stdout)[name] as Check[] | { error: string }
  return Array.isArray(result) ? result : [failure(`${name}: ${result.error}`)]
}

function leavesCleanly(device: string): Check[] {
  return [
    { way: 'return', code: 0 },
    { way: 'exit', code: 7 },
  ].map(({ way, code }) => {
    const { status, signal, stderr } = child(['leave-open', device, way], 120)
    const ok = status === code
    const name = `a process that leaves by ${way} with a living context ends with ${code}`
    return {
      name: ok ? name : `${name} (${status ?? signal}): ${stderr.slice(-500)}`,
      value: ok ? 1 : 0,
      rule: 'at least',
      bound: 1,
      ok,
    }
  })
}

/** Pairs of 32 to 128 tokens with frequencies like 1/rank, 15 % labelled. */
function syntheticBatches(count: number, tokens: number): PackedBatch[] {
  return Array.from({ length: count }, (_, index) => {
    const random = stream(17, 'gpu-check', index)
    const sequences: Int32Array[] = []
    for (let left = tokens; left >= 32; ) {
      const length = Math.min(left, 32 + random.below(97))
      sequences.push(Int32Array.from({ length }, () => Math.floor(VOCABULARY ** random.float())))
      left -= length
    }
    const batch = packSequences(sequences)
    const positions: number[] = []
    for (let at = 0; at < batch.tokenIds.length; at++) if (random.float() < 0.15) positions.push(at)
    batch.labels = {
      mlm: { positions: Int32Array.from(positions), labels: Int32Array.from(positions, (at) => batch.tokenIds[at]) },
      nsp: { labels: Int32Array.from(sequences, () => random.below(2)) },
    }
    return batch
  })
}

function peakRssBytes(): number {
  return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0)
}

async function ours(
  { side, device, shape, batches, warmup, steps }: Setting,
  precision: Precision,
): Promise<Partial<Row>> {
  const { layers } = SHAPES[shape]
  const config: ModelConfig = {
    encoder: encoderConfig({ vocabSize: VOCABULARY, ...SHAPES[shape] }),
    heads: [
      { kind: 'masked-lm', name: 'mlm', tap: { layer: layers }, weight: 1 },
      { kind: 'next-sentence', name: 'nsp', tap: { layer: layers }, weight: 1 },
    ],
  }
  await using model = await Model.create(config, { ...side, precision, seed: 0 })
  await using optimizer = await Optimizer.create(model, {
    kind: 'adamw',
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    groups: parameterGroups(model.parameters(), { weightDecay: 0.01, layerDecay: 1 }),
  })
  const step = async (k: number) => {
    const losses = await model.step(batches[k % batches.length])
    await optimizer.step({ learningRate: 1e-4, maxGradNorm: 1 })
    return losses
  }
  for (let k = 0; k < warmup; k++) await (await step(k)).read()
  if (device !== 'cpu') deviceMemory(device, { resetPeak: true })
  const start = performance.now()
  let tokens = 0
  let losses: Awaited<ReturnType<typeof step>> | undefined
  for (let k = warmup; k < warmup + steps; k++) {
    losses = await step(k)
    tokens += batches[k % batches.length].tokenIds.length
  }
  await losses?.read() // waits for the device
  const seconds = (performance.now() - start) / 1000
  return {
    tokensPerSecond: [tokens / seconds],
    peakBytes: device === 'cpu' ? peakRssBytes() : deviceMemory(device).peakBytes,
  }
}

function peer({ device, shape, batchFile, warmup, steps, python, peers }: Setting, precision: Precision) {
  const args = ['--batches', batchFile, '--shape', shape, '--precision', precision, '--device', device]
  const { status, stdout, stderr } = spawnSync(
    python,
    [join(peers, 'gpu_train.py'), ...args, '--warmup', String(warmup), '--steps', String(steps)],
    { encoding: 'utf8', timeout: 300_000 },
  )
  if (status !== 0) return { who: 'hf', problem: (stderr || 'no answer').slice(-1500) }
  const answer = JSON.parse(stdout.trim().split('\n').at(-1)!)
  return {
    who: answer.implementation === 'hf' ? 'Hugging Face' : 'plain torch',
    tokensPerSecond: [answer.tokensPerSecond as number],
    peakBytes: answer.peakBytes as number,
  }
}

/** Ours and the peer take turns; the best round counts. */
async function speed(setting: Setting, rounds: number): Promise<Row[]> {
  const rows: Row[] = []
  const add = (who: string, precision: Precision, part: Partial<Row>) => {
    let row = rows.find((known) => known.who === who && known.precision === precision)
    if (!row) {
      row = { who, precision, shape: setting.shape, tokensPerSecond: [], best: 0, peakBytes: 0 }
      rows.push(row)
    }
    row.tokensPerSecond.push(...(part.tokensPerSecond ?? []))
    row.best = Math.max(0, ...row.tokensPerSecond)
    row.peakBytes = Math.max(row.peakBytes, part.peakBytes ?? 0)
    if (part.problem) row.problem = part.problem
    say(
      `  ${who}, ${precision}: ${Math.round(row.best)} tokens/s, peak ${Math.round(row.peakBytes / 1e6)} MB${part.problem ?? ''}`,
    )
  }
  for (let round = 0; round < rounds; round++) {
    for (const precision of ['bf16', 'fp32'] as const) {
      try {
        add('stratabert', precision, await ours(setting, precision))
      } catch (error) {
        add('stratabert', precision, { problem: (error as Error).message })
      }
      const { who, ...part } = peer(setting, precision)
      add(who, precision, part)
    }
  }
  return rows
}

/** An accelerator's name; libtorch names none without CUDA's headers. */
function deviceName(device: string): string {
  if (device === 'cpu') return cpus()[0].model
  const { stdout } = spawnSync('nvidia-smi', ['--query-gpu=name,driver_version', '--format=csv,noheader'], {
    encoding: 'utf8',
  })
  return stdout?.trim() || 'unknown'
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      device: { type: 'string', default: 'cuda' },
      python: { type: 'string', default: 'python3' },
      peers: { type: 'string', default: join(__dirname, '..', 'benchmarks', 'peers') },
      work: { type: 'string', default: '.' },
    },
  })
  const started = performance.now()
  const device = values.device!
  const dry = device === 'cpu'
  const kernels = dry ? 'portable' : 'fast'
  const groups: Record<string, Check[]> = {}
  const report = (name: string, checks: Check[]) => {
    groups[name] = checks
    const broken = checks.filter(({ ok }) => !ok)
    say(`${name}: ${checks.length - broken.length} of ${checks.length} bounds hold`)
    for (const { name, value, rule, bound } of broken) say(`  BROKEN ${name}: ${value}, ${rule} ${bound}`)
  }
  for (const name of Object.keys(DEVICE_CHECKS)) report(name, runGroup(name, device, kernels))
  report('exit', leavesCleanly(device))

  const runtime = loadRuntime({ device })
  const batchFile = join(values.work!, 'gpu-check-batches.safetensors')
  const batches = syntheticBatches(12, dry ? 512 : 8192)
  writeBatchFile(batchFile, batches)
  const setting: Setting = {
    side: { device: device as Side['device'], kernels },
    device,
    shape: dry ? 'tiny' : 'base',
    batches,
    batchFile,
    warmup: dry ? 1 : 5,
    steps: dry ? 2 : 40,
    python: values.python!,
    peers: values.peers!,
  }
  say(`speed: ${setting.shape}, ${batches[0].tokenIds.length} tokens a step`)
  const rows = await speed(setting, dry ? 1 : 2)
  report(
    'table',
    rows.map(({ who, precision, best, problem }) => ({
      name: `${who}, ${precision}: trains${problem ? ` (${problem})` : ''}`,
      value: best,
      rule: 'at least',
      bound: 1,
      ok: best >= 1,
    })),
  )
  const best = (who: string, precision: Precision) => rows.find((row) => row.who === who && row.precision === precision)
  const rival = rows.find(({ who }) => who !== 'stratabert')?.who ?? ''
  const ratios = Object.fromEntries(
    (['bf16', 'fp32'] as const).map((precision) => {
      const [mine, theirs] = [best('stratabert', precision), best(rival, precision)]
      return [
        precision,
        {
          tokensPerSecond: mine!.best / (theirs?.best ?? Number.NaN),
          peakBytes: mine!.peakBytes / (theirs?.peakBytes ?? Number.NaN),
        },
      ]
    }),
  )
  say('fine-tuning: pairs of the lengths of MRPC')
  const finetuning = await finetuneSpeed({
    ...setting,
    encoder: SHAPES[setting.shape],
    rounds: dry ? 1 : 2,
    work: values.work!,
    say,
  })
  report(
    'fine-tuning',
    finetuning.rows
      .filter(({ skipped }) => !skipped)
      .map(({ who, precision, best, problem }) => ({
        name: `${who}, ${precision}: fine-tunes${problem ? ` (${problem})` : ''}`,
        value: best,
        rule: 'at least',
        bound: 1,
        ok: best >= 1,
      })),
  )
  say('recipe: dacbert, from parsed text to a checkpoint')
  const common = { python: values.python!, peers: values.peers!, work: values.work! }
  const { checks, ...recipe } = await recipeTraining({ device, dry, ...common }).catch(
    (error): RecipeTraining => ({ checks: [failure(`dacbert: ${(error as Error).message}`)] }),
  )
  report('recipe', checks)
  say(`  ${recipe.skipped ?? JSON.stringify(recipe.figures)}`)
  const failed = Object.values(groups).flatMap((checks) => checks.filter(({ ok }) => !ok))
  // What matters most stands last, where a cut log still shows it.
  const document = {
    checks: groups,
    dryRun: dry,
    device: {
      kind: device,
      name: deviceName(device),
      bytes: dry ? 0 : deviceMemory(device).totalBytes,
      flashAttention: hasFlashAttention(device),
    },
    libtorch: runtime.tree.version,
    node: process.version,
    seconds: Math.round((performance.now() - started) / 1000),
    speed: { shape: setting.shape, tokensPerStep: batches[0].tokenIds.length, rows, ratiosTo: rival, ratios },
    finetuning,
    recipe,
    bounds: { held: Object.values(groups).flat().length - failed.length, broken: failed.length },
    failed,
    ok: failed.length === 0,
  }
  const line = JSON.stringify(document)
  writeFileSync(join(values.work!, 'gpu-check.json'), `${line}\n`)
  process.stdout.write(`${line}\n`)
  process.exitCode = document.ok ? 0 : 1
}

main().catch((error) => {
  say(String((error as Error).stack))
  process.stdout.write(`${JSON.stringify({ ok: false, error: String((error as Error).message) })}\n`)
  process.exitCode = 1
})
