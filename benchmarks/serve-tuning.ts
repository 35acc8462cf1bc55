/** Finds each peer's best settings by trying them, in a process that ends before anything is measured. */
import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { benchmarkCache } from './enwiki-batches.js'
import type { PeerProcess } from './peer-process.js'
import { median, say } from './rounds.js'
import { type Places, type Setting, type System, startProgram } from './serve-systems.js'

export interface Trial {
  setting: Setting
  textsPerSecond: number
  /** Of a single short query. */
  medianMilliseconds?: number
  /** Mean over texts, to our own fp32 vectors. */
  meanCosine?: number
}

export interface Tuned {
  system: System
  /** Best throughput. */
  setting: Setting
  /** Lowest latency of a single query. */
  latencySetting: Setting
  trials: Trial[]
}

export interface TuningOptions {
  /** Texts of a trial, from `first` on. */
  first: number
  count: number
  passes: number
  queries: number
  /** Our fp32 vectors of the first `checked` mixed texts. */
  reference: Float32Array
  checked: number
}

/** A setting whose vectors are further off than this is no serious choice. */
const LEAST_COSINE = 0.9

/** The first setting of each kind. */
export function untuned(system: System): Tuned {
  const setting = { ...system.loads[0], batches: system.batches[0] }
  return { system, setting, latencySetting: setting, trials: [] }
}

export async function tune(system: System, places: Places, options: TuningOptions): Promise<Tuned> {
  if (system.loads.length * system.batches.length === 1) return untuned(system)
  say(`tuning ${system.name}: ${system.loads.length} models, then ${system.batches.length} ways to batch`)
  const loads = await trials(
    system,
    places,
    system.loads.map((load) => ({ ...load, batches: system.batches[0] })),
    options,
    true,
  )
  const eligible = loads.filter(({ meanCosine }) => meanCosine! >= LEAST_COSINE)
  if (eligible.length === 0) throw new Error(`no setting of ${system.name} gives the vectors of our fp32`)
  const bestLoad = best(eligible)
  const batched = await trials(
    system,
    places,
    system.batches.map((batches) => ({ ...bestLoad.setting, batches })),
    options,
    false,
  )
  const latency = eligible.reduce((a, b) => (b.medianMilliseconds! < a.medianMilliseconds! ? b : a))
  return {
    system,
    setting: best(batched).setting,
    latencySetting: latency.setting,
    trials: [...loads, ...batched.slice(1)],
  }
}

function best(list: readonly Trial[]): Trial {
  return list.reduce((a, b) => (b.textsPerSecond > a.textsPerSecond ? b : a))
}

/** In a process of their own, since what the models took would stay with the ways to batch. */
async function trials(
  system: System,
  places: Places,
  settings: readonly Setting[],
  options: TuningOptions,
  models: boolean,
): Promise<Trial[]> {
  const program = startProgram(system, places)
  try {
    await program.ready()
    return await trialsIn(program, settings, options, models)
  } finally {
    await program.quit()
  }
}

/** The settings take turns, so that a slow second of the machine hits all. */
async function trialsIn(
  program: PeerProcess,
  settings: readonly Setting[],
  { first, count, passes, queries, reference, checked }: TuningOptions,
  models: boolean,
): Promise<Trial[]> {
  const seconds = settings.map(() => [] as number[])
  const latencies = settings.map(() => [] as number[])
  const cosines: number[] = []
  for (const [index, setting] of settings.entries()) {
    const id = JSON.stringify(setting)
    await program.ask({ command: 'open', id, setting })
    await program.ask({ command: 'embed', id, first, count })
    if (models) {
      const made = await vectorsOf(program, id, 'mixed', checked)
      cosines[index] = meanCosine(made.values, reference, made.dimension)
    }
  }
  for (let pass = 0; pass < passes; pass++) {
    for (const [index, setting] of settings.entries()) {
      const id = JSON.stringify(setting)
      seconds[index].push((await program.ask<{ seconds: number }>({ command: 'embed', id, first, count })).seconds)
      if (!models) continue
      const request = { command: 'query', id, first: pass * queries, count: queries }
      latencies[index].push(median((await program.ask<{ milliseconds: number[] }>(request)).milliseconds))
    }
  }
  return settings.map((setting, index) => ({
    setting,
    textsPerSecond: count / median(seconds[index]),
    ...(models ? { medianMilliseconds: median(latencies[index]), meanCosine: cosines[index] } : {}),
  }))
}

/** Vectors of the first `count` texts of a set, end to end. */
export async function vectorsOf(
  program: PeerProcess,
  id: string,
  set: 'mixed' | 'pairs',
  count: number,
): Promise<{ values: Float32Array; dimension: number }> {
  const file = path.join(benchmarkCache(), `vectors-${process.pid}.f32`)
  const { dimension } = await program.ask<{ dimension: number }>({ command: 'vectors', id, set, count, file })
  const { buffer, byteOffset, byteLength } = readFileSync(file)
  rmSync(file)
  return { values: new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength)), dimension }
}

/** Cosine of each row of one with the same row of the other. */
export function cosines(a: Float32Array, b: Float32Array, dimension: number): number[] {
  if (a.length !== b.length) throw new Error(`${a.length} numbers stand beside ${b.length}`)
  return Array.from({ length: a.length / dimension }, (_, row) => {
    let [dot, one, other] = [0, 0, 0]
    for (let place = row * dimension; place < (row + 1) * dimension; place++) {
      dot += a[place] * b[place]
      one += a[place] ** 2
      other += b[place] ** 2
    }
    return dot / Math.sqrt(one * other)
  })
}

function meanCosine(a: Float32Array, b: Float32Array, dimension: number): number {
  const list = cosines(a, b, dimension)
  return list.reduce((total, value) => total + value, 0) / list.length
}
