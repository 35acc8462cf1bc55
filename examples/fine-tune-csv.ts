/**
 * Fine-tunes a checkpoint on a table of one's own and classifies with the result. The table has a column of texts and one of
 * classes; a quarter of its rows is held out.
 *
 * Usage: npx tsx examples/fine-tune-csv.ts CHECKPOINT TABLE.csv TEXT_COLUMN LABEL_COLUMN RUN TEXT [TEXT …]
 *   npx tsx examples/fine-tune-csv.ts runs/demo/hierarchical-pretrain examples/data/reviews.csv review mood runs/moods "What a lovely soup."
 */
import { Encoder, openRecipe, runRecipe } from '../lib/index.js' // yours: from 'stratabert'

async function main([checkpoint, table, text, label, run, ...texts]: string[]): Promise<void> {
  const recipe = await openRecipe({
    extends: 'fine-tune',
    init: checkpoint,
    data: { mytask: table },
    tasks: { mytask: { definition: { text, label }, devShare: 0.25 } },
    batch: { sequences: 8, sequenceTokens: 64 },
    optimizer: { learningRate: 5e-4 }, // of a small encoder; a BERT-base wants 2e-5 to 5e-5
    budget: { epochs: 5 },
  })
  const { stages } = await runRecipe(recipe, { output: run })
  const { count, metrics } = stages[0].tasks.mytask.dev
  console.log(`${metrics.accuracy.toFixed(3)} of ${count} held-out rows are right`)

  await using encoder = await Encoder.load(run)
  for (const [index, { label, score }] of (await encoder.classify(texts)).entries()) {
    console.log(`${label}  ${score.toFixed(3)}  ${texts[index]}`)
  }
}

main(process.argv.slice(2))
