/**
 * Text to vector beside the peers: `npm run bench:serve -- [--json] [--short] [--save] [--no-tuning] [--only NAME,…]
 * [--rounds N] [--texts N] [--pairs N]`.
 *
 * Every program turns the same real texts into unit-length means of all-MiniLM-L6-v2's token states, tokenisation included, with two threads, in a
 * process of its own that sleeps between its turns. First each peer is tuned (serve-tuning.ts): which exported model, how to
 * batch. Then every program's vectors are held against our fp32 ones, STS-B dev is scored, and rounds are measured in which the programs take turns: a
 * slice of mixed texts, then single short queries one after the other. Ours runs at its defaults.
 *
 * Ratios are medians over the rounds of ours ÷ peer in the same round, in texts a second; `ort-fp32`, `ort-int8`, `transformers-js` and
 * `sentence-transformers` set like beside like (fp32 beside fp32, int8 beside int8), `pairs` sets each of our modes beside each peer.
 */
import { spearman } from '../lib/evaluation/index.js'
import { sharedData } from './enwiki-batches.js'
import type { PeerProcess } from './peer-process.js'
import { BUSY_SHARE, busyShare, instructionSet, median, runFacts, saveResult, say, sum } from './rounds.js'
import {
  exportedModels,
  exportFacts,
  type Mode,
  type Places,
  type Setting,
  SYSTEMS,
  type System,
  servePython,
  startProgram,
} from './serve-systems.js'
import { type ServeTexts, serveTexts } from './serve-texts.js'
import { cosines, type Tuned, tune, untuned, vectorsOf } from './serve-tuning.js'

/** Texts of one turn (a sixth are paragraphs), texts and queries of a trial, pairs of STS-B dev. */
const FULL = { rounds: 7, texts: 384, queries: 100, trialTexts: 192, trialPasses: 5, checked: 240, pairs: 1500 }
const SHORT = { rounds: 3, texts: 96, queries: 30, trialTexts: 48, trialPasses: 2, checked: 48, pairs: 1500 }
const REFERENCE = 'stratabert-fp32'
/** Smallest cosine of any text to our fp32 vector; int8 is judged by STS-B alone. */
const LEAST_COSINE: Record<Mode, number> = { fp32: 0.9999, bf16: 0.99, int8: 0.8 }

interface Options {
  json: boolean
  save: boolean
  only?: readonly string[]
  /** False: each peer's first setting is taken untried. */
  tuning: boolean
  sizes: typeof FULL
}

function parseArguments(list: string[]): Options {
  const options: Options = { json: false, save: false, tuning: true, sizes: { ...FULL } }
  for (let index = 0; index < list.length; index++) {
    if (list[index] === '--json') options.json = true
    else if (list[index] === '--short') options.sizes = { ...SHORT }
    else if (list[index] === '--save') options.save = true
    else if (list[index] === '--no-tuning') options.tuning = false
    else if (list[index] === '--only') options.only = list[++index].split(',')
    else if (list[index] === '--rounds') options.sizes.rounds = Number(list[++index])
    else if (list[index] === '--pairs') options.sizes.pairs = Number(list[++index])
    else if (list[index] === '--texts') {
      const texts = Number(list[++index])
      Object.assign(options.sizes, { texts, trialTexts: Math.ceil(texts / 2), checked: texts })
    } else {
      throw new Error(
        `unknown argument ${list[index]}; known are --json, --short, --save, --no-tuning, --only NAME,… (${SYSTEMS.map(({ name }) => name).join(', ')}), --rounds N, --texts N, --pairs N`,
      )
    }
  }
  return options
}

/** A program that is measured. */
interface Running {
  tuned: Tuned
  program: PeerProcess
  /** Answers single queries; the same where one setting is best for both. */
  latencyProgram: PeerProcess
}

const ID = 'measured'

async function start(tuned: Tuned, places: Places): Promise<Running> {
  const { system, setting, latencySetting } = tuned
  const open = async (what: Setting) => {
    const program = startProgram(system, places)
    await program.ready()
    await program.ask({ command: 'open', id: ID, setting: what })
    return program
  }
  const program = await open(setting)
  const { batches: _, ...load } = setting
  const { batches: __, ...latencyLoad } = latencySetting
  const same = JSON.stringify(load) === JSON.stringify(latencyLoad)
  return { tuned, program, latencyProgram: same ? program : await open(latencySetting) }
}

/** Cosine of every checked text to our fp32 vector; throws where the program computes something else. */
async function check({ tuned, program }: Running, reference: Float32Array, count: number) {
  const { values, dimension } = await vectorsOf(program, ID, 'mixed', count)
  const list = cosines(values, reference, dimension)
  const least = Math.min(...list)
  const { name, mode } = tuned.system
  if (!(least >= LEAST_COSINE[mode])) {
    throw new Error(
      `${name}: a vector has cosine ${least.toFixed(5)} to ours in fp32, expected at least ${LEAST_COSINE[mode]}`,
    )
  }
  return { least, mean: sum(list) / list.length }
}

/** Spearman's rank correlation, in points, of cosine and human similarity on the first pairs of STS-B dev. */
async function scorePairs({ program }: Running, texts: ServeTexts, pairs: number): Promise<number> {
  const { values, dimension } = await vectorsOf(program, ID, 'pairs', 2 * pairs)
  const side = (which: 0 | 1) => {
    const rows = new Float32Array(pairs * dimension)
    for (let pair = 0; pair < pairs; pair++) {
      const from = (2 * pair + which) * dimension
      rows.set(values.subarray(from, from + dimension), pair * dimension)
    }
    return rows
  }
  return 100 * spearman(cosines(side(0), side(1), dimension), texts.similarity.slice(0, pairs))
}

interface Turn {
  seconds: number
  milliseconds: number[]
}

async function takeTurns(running: readonly Running[], { rounds, texts, queries }: typeof FULL, corpus: number) {
  const turns = new Map(running.map(({ tuned }) => [tuned.system.name, [] as Turn[]]))
  for (const { program, latencyProgram } of running) {
    await program.ask({ command: 'embed', id: ID, first: 0, count: texts })
    await latencyProgram.ask({ command: 'query', id: ID, first: 0, count: Math.ceil(queries / 2) })
  }
  let disturbed = 0
  for (let round = 0; round < rounds; round++) {
    const busy = await busyShare()
    if (busy > BUSY_SHARE) {
      disturbed++
      say(`round ${round + 1}: the machine is busy with other work (${Math.round(100 * busy)} %)`)
    }
    // Each round starts with another program, so that no one always follows the same neighbour.
    const order = running.map((_, turn) => running[(turn + round) % running.length])
    const first = (round * texts) % (corpus - texts)
    for (const { tuned, program } of order) {
      const { seconds } = await program.ask<{ seconds: number }>({ command: 'embed', id: ID, first, count: texts })
      turns.get(tuned.system.name)!.push({ seconds, milliseconds: [] })
    }
    for (const { tuned, latencyProgram } of order) {
      const request = { command: 'query', id: ID, first: round * queries, count: queries }
      turns.get(tuned.system.name)![round].milliseconds = (
        await latencyProgram.ask<{ milliseconds: number[] }>(request)
      ).milliseconds
    }
    const told = running.map(({ tuned: { system } }) => {
      const { seconds, milliseconds } = turns.get(system.name)![round]
      return `${system.name} ${(texts / seconds).toFixed(0)} texts/s ${median(milliseconds).toFixed(1)} ms`
    })
    say(`round ${round + 1}/${rounds}: ${told.join(', ')}`)
  }
  return { turns, disturbed }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]
}

type Turns = ReadonlyMap<string, readonly Turn[]>

/** Ours ÷ peer in throughput. */
function throughputRatio(turns: Turns, ours: string, peer: string): number {
  return median(turns.get(peer)!.map(({ seconds }, round) => seconds / turns.get(ours)![round].seconds))
}

/** Peer ÷ ours in the median latency: above 1 we answer sooner. */
function latencyRatio(turns: Turns, ours: string, peer: string): number {
  const middle = (name: string, round: number) => median(turns.get(name)![round].milliseconds)
  return median(turns.get(peer)!.map((_, round) => middle(peer, round) / middle(ours, round)))
}

/** Our mode beside the peer's. */
const LIKE = {
  'ort-fp32': ['stratabert-fp32', 'ort-fp32'],
  'ort-int8': ['stratabert-int8', 'ort-int8'],
  'transformers-js': ['stratabert-fp32', 'transformers-js-fp32'],
  'sentence-transformers': ['stratabert-fp32', 'sentence-transformers-fp32'],
} as const

function ratiosOf(systems: readonly System[], turns: Turns) {
  const ours = systems.filter(({ program }) => program === 'stratabert')
  const peers = systems.filter(({ program }) => program !== 'stratabert')
  const pairs = ours.flatMap((own) => peers.map((peer) => [own.name, peer.name] as const))
  const table = (of: typeof throughputRatio) =>
    Object.fromEntries(pairs.map(([own, peer]) => [`${own}/${peer}`, of(turns, own, peer)]))
  const like = Object.entries(LIKE).filter(([, [own, peer]]) => turns.has(own) && turns.has(peer))
  /** Beside the best peer of a mode: the smallest of the ratios. */
  const best = (own: string, mode: Mode) => {
    const rivals = turns.has(own) ? peers.filter((peer) => peer.mode === mode) : []
    return rivals.length > 0 ? Math.min(...rivals.map(({ name }) => throughputRatio(turns, own, name))) : undefined
  }
  return {
    ratios: Object.fromEntries(like.map(([name, [own, peer]]) => [name, throughputRatio(turns, own, peer)])),
    targets: {
      'bf16 ÷ best fp32 peer (2)': best('stratabert-bf16', 'fp32'),
      'bf16 ÷ best bf16 peer (1.3)': best('stratabert-bf16', 'bf16'),
      'fp32 ÷ best fp32 peer': best('stratabert-fp32', 'fp32'),
      'int8 ÷ best int8 peer (1.2)': best('stratabert-int8', 'int8'),
    },
    pairs: table(throughputRatio),
    latency: table(latencyRatio),
  }
}

async function main(): Promise<void> {
  const options = parseArguments(process.argv.slice(2))
  const { sizes, only } = options
  const started = performance.now()
  const wanted = SYSTEMS.filter(({ name }) => !only || only.includes(name) || name === REFERENCE)
  const python = servePython()
  const model = `${sharedData()}/minilm_l6`
  const texts = await serveTexts(model)
  const environment = instructionSet(python)
  const facts = runFacts(environment)
  const exported = exportedModels(model, python)
  const places: Places = { model, python, ...exported, texts: texts.file, environment }
  const running: Running[] = []
  try {
    const own = wanted.find(({ name }) => name === REFERENCE)!
    running.push(await start(untuned(own), places))
    const { values: reference } = await vectorsOf(running[0].program, ID, 'mixed', sizes.checked)
    // The trials use texts that the rounds come to last.
    const trial = {
      first: texts.mixed.length - sizes.trialTexts,
      count: sizes.trialTexts,
      passes: sizes.trialPasses,
      queries: Math.ceil(sizes.queries / 4),
    }
    const tuned: Tuned[] = []
    for (const system of wanted.filter(({ name }) => name !== REFERENCE)) {
      const made = options.tuning && tune(system, places, { ...trial, reference, checked: sizes.checked })
      tuned.push((await made) || untuned(system))
    }
    for (const one of tuned) running.push(await start(one, places))
    const quality = new Map<string, { cosine: { least: number; mean: number }; spearman: number }>()
    for (const one of running) {
      const { name } = one.tuned.system
      const cosine = await check(one, reference, sizes.checked)
      const score = await scorePairs(one, texts, sizes.pairs)
      say(`${name}: mean cosine ${cosine.mean.toFixed(5)}, least ${cosine.least.toFixed(5)}, STS-B ${score.toFixed(2)}`)
      quality.set(name, { cosine, spearman: score })
    }
    const { turns, disturbed } = await takeTurns(running, sizes, texts.mixed.length)
    const measured = Array.from(
      { length: sizes.rounds },
      (_, round) => (round * sizes.texts) % (texts.mixed.length - sizes.texts),
    )
    const roundTokens = measured.map((first) => sum(texts.mixedTokens.slice(first, first + sizes.texts)))
    const rows = []
    for (const { tuned: one, program, latencyProgram } of running) {
      const { system, setting, latencySetting, trials } = one
      const own = turns.get(system.name)!
      const fp32 = SYSTEMS.find((other) => other.program === system.program && other.mode === 'fp32')!.name
      const { cosine, spearman } = quality.get(system.name)!
      const all = own.flatMap(({ milliseconds }) => milliseconds)
      rows.push({
        name: system.name,
        program: system.program,
        mode: system.mode,
        textsPerSecond: median(own.map(({ seconds }) => sizes.texts / seconds)),
        tokensPerSecond: median(own.map(({ seconds }, round) => roundTokens[round] / seconds)),
        query: { p50Milliseconds: percentile(all, 0.5), p99Milliseconds: percentile(all, 0.99), count: all.length },
        peakRssBytes: (await program.ask<{ peakRssBytes: number }>({ command: 'memory' })).peakRssBytes,
        spearman,
        spearmanLoss: quality.has(fp32) ? quality.get(fp32)!.spearman - spearman : undefined,
        cosineToOurFp32: cosine,
        setting,
        ...(latencyProgram === program ? {} : { latencySetting }),
        trials,
      })
    }
    const { onnx, onnxruntime, torch } = exportFacts(exported.onnx)
    const result = {
      name: 'serve',
      precision: 'all',
      ...facts,
      model: 'all-MiniLM-L6-v2 (6 × 384)',
      minutes: (performance.now() - started) / 60_000,
      ...{ tuned: options.tuning, rounds: sizes.rounds, disturbed, textsPerRound: sizes.texts },
      tokensPerText: sum(roundTokens) / (sizes.texts * sizes.rounds),
      queryTokens: '15 to 17, special tokens included',
      exportVersions: { onnx, onnxruntime, torch },
      rows,
      ...ratiosOf(
        running.map(({ tuned: { system } }) => system),
        turns,
      ),
    }
    if (options.save) saveResult(result)
    if (options.json) console.log(JSON.stringify(result, null, 2))
    else tell(result)
  } finally {
    for (const { program, latencyProgram } of running) {
      await program.quit()
      await latencyProgram.quit()
    }
  }
}

interface Told {
  rows: {
    name: string
    textsPerSecond: number
    tokensPerSecond: number
    query: { p50Milliseconds: number; p99Milliseconds: number }
    peakRssBytes: number
    spearman: number
    spearmanLoss?: number
  }[]
  ratios: Record<string, number>
  targets: Record<string, number | undefined>
  rounds: number
  disturbed: number
  tokensPerText: number
}

function tell({ rows, ratios, targets, rounds, disturbed, tokensPerText }: Told): void {
  console.log(`\n${tokensPerText.toFixed(1)} tokens a text, ${disturbed} of ${rounds} rounds disturbed`)
  for (const row of rows) {
    console.log(
      `${row.name.padEnd(27)} ${row.textsPerSecond.toFixed(0).padStart(5)} texts/s ${row.tokensPerSecond.toFixed(0).padStart(6)} tokens/s ` +
        `${row.query.p50Milliseconds.toFixed(2).padStart(7)} / ${row.query.p99Milliseconds.toFixed(2).padStart(7)} ms ` +
        `${(row.peakRssBytes / 2 ** 20).toFixed(0).padStart(5)} MiB  Spearman ${row.spearman.toFixed(2)} (−${row.spearmanLoss?.toFixed(2)})`,
    )
  }
  for (const [name, value] of Object.entries({ ...ratios, ...targets })) {
    if (value !== undefined) console.log(`${name}: ${value.toFixed(2)}`)
  }
}

main().catch((error) => {
  console.error(`error: ${error.message}`)
  process.exitCode = 1
})
