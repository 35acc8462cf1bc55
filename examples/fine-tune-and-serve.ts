/**
 * Fine-tunes a checkpoint on a table and serves the result in the same process. POST /retrain trains again on what the table holds by
 * then, while the old classifier goes on answering, and swaps the new one in.
 *
 * Usage: npx tsx examples/fine-tune-and-serve.ts CHECKPOINT TABLE.csv TEXT_COLUMN LABEL_COLUMN RUNS [PORT]
 *   npx tsx examples/fine-tune-and-serve.ts runs/demo/hierarchical-pretrain examples/data/reviews.csv review mood runs/moods
 *   curl -d '{"texts": ["What a lovely soup."]}' -H 'content-type: application/json' http://127.0.0.1:8080/classify
 *   curl -X POST http://127.0.0.1:8080/retrain
 */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import { Encoder, openRecipe, runRecipe } from '../lib/index.js' // yours: from 'stratabert'

async function main([checkpoint, table, text, label, runs, port = '8080']: string[]): Promise<void> {
  /** Trains into a folder of its own; tells it and the share of held-out rows that came out right. */
  async function train(name: string): Promise<{ run: string; accuracy: number }> {
    const recipe = await openRecipe({
      extends: 'fine-tune',
      init: checkpoint,
      data: { mytask: table },
      tasks: { mytask: { definition: { text, label }, devShare: 0.25 } },
      batch: { sequences: 8, sequenceTokens: 64 },
      optimizer: { learningRate: 5e-4 }, // of a small encoder; a BERT-base wants 2e-5 to 5e-5
      budget: { epochs: 5 },
    })
    const run = join(runs, name)
    const { stages } = await runRecipe(recipe, { output: run })
    return { run, accuracy: stages[0].tasks.mytask.dev.metrics.accuracy }
  }

  // Behind the runs of earlier starts: a run folder is never written over.
  mkdirSync(runs, { recursive: true })
  let version = Math.max(0, ...readdirSync(runs).map(Number).filter(Number.isInteger))
  let current = await train(`${++version}`)
  console.log(`${current.accuracy.toFixed(3)} of the held-out rows are right`)
  const encoder = await Encoder.load(current.run, { warmUp: true })
  let training: Promise<void> | undefined

  async function retrain(): Promise<void> {
    const next = await train(`${++version}`)
    // A worse classifier is not put in place.
    if (next.accuracy >= current.accuracy) {
      await encoder.replace(next.run)
      current = next
    }
  }

  const service = Fastify()
  const texts = { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 256 }
  const schema = { body: { type: 'object', properties: { texts }, required: ['texts'] } }
  service.post<{ Body: { texts: string[] } }>('/classify', { schema }, async ({ body }) => ({
    run: current.run,
    results: await encoder.classify(body.texts),
  }))
  service.post('/retrain', async (_, reply) => {
    if (training) return reply.code(409).send({ message: 'a training is under way' })
    const done = retrain().finally(() => {
      training = undefined
    })
    training = done
    await done
    return current
  })
  service.addHook('onClose', () => encoder.dispose())
  process.once('SIGTERM', () => service.close())
  console.log(`listening at ${await service.listen({ port: Number(port) })}`)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
