/**
 * Kills a training process at 12 random and 8 injected moments (see lib/fault-points.ts), resumes it each time and
 * compares weights, optimiser moments and loss curve with an uninterrupted run, bit for bit.
 *
 *     npm run test:faults [-- --seed 1]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { stream } from '../lib/data/random.js'
import { FAULT_POINTS } from '../lib/fault-points.js'
import { type ChildOptions, fingerprintOfRun, killAndResume, trainInChild } from '../test/helpers/fault-run.js'

const RANDOM_MOMENTS = 12
/** More than one: what threads do must not depend on when the process died either. */
const THREADS = 2

async function main(seed: number): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'stratabert-faults-'))
  try {
    const undisturbed = await trainInChild(join(folder, 'whole'), { threads: THREADS })
    if (undisturbed.code !== 0) throw new Error(`the uninterrupted run failed: ${undisturbed.stderr}`)
    const whole = JSON.stringify(fingerprintOfRun(join(folder, 'whole')))
    console.log(`uninterrupted run: ${undisturbed.trainingMs.toFixed(0)} ms of training; seed of the moments ${seed}`)

    const random = stream(seed, 'faults')
    const moments: [string, ChildOptions][] = FAULT_POINTS.map((point, index) => {
      // The first, second or third checkpoint: with and without an earlier one to fall back to.
      const fault = `${point}:${1 + (index % 3)}`
      return [fault, { fault, threads: THREADS }]
    })
    for (let k = 0; k < RANDOM_MOMENTS; k++) {
      const afterMs = random.float() * undisturbed.trainingMs
      moments.push([`random, ${afterMs.toFixed(0)} ms`, { signal: 'SIGKILL', afterMs, threads: THREADS }])
    }

    let [equal, killed] = [0, 0]
    for (const [index, [name, options]] of moments.entries()) {
      const runPath = join(folder, String(index))
      let outcome = await killAndResume(runPath, options)
      // A moment after the end is no test: take an earlier one.
      for (let tries = 0; !outcome.killed && tries < 5; tries++) {
        rmSync(runPath, { recursive: true })
        outcome = await killAndResume(runPath, { ...options, afterMs: (options.afterMs ?? 0) * 0.7 ** (tries + 1) })
      }
      const same = JSON.stringify(fingerprintOfRun(runPath)) === whole
      if (same) equal++
      if (outcome.killed) killed++
      const left = outcome.left === undefined ? 'no checkpoint yet' : `whole up to step ${outcome.left}`
      console.log(`${same ? 'equal ' : 'DIFFERS'}  ${name.padEnd(20)} ${outcome.killed ? left : 'was not killed'}`)
      for (const warning of outcome.warnings) console.log(`         ${warning}`)
      rmSync(runPath, { recursive: true, force: true })
    }
    console.log(
      JSON.stringify({ moments: moments.length, killed, equal, injected: FAULT_POINTS.length, random: RANDOM_MOMENTS }),
    )
    return equal === moments.length && killed === moments.length
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const { values } = parseArgs({ options: { seed: { type: 'string', default: '1' } } })
main(Number(values.seed)).then(
  (ok) => {
    process.exitCode = ok ? 0 : 1
  },
  (error) => {
    console.error(error)
    process.exitCode = 1
  },
)
