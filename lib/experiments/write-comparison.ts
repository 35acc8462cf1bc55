/** The files that a comparison is written to, each whole. */
import { join } from 'node:path'
import { fileError } from '../errors.js'
import { replaceFile } from '../training/index.js'
import type { Comparison } from './comparison.js'
import { comparisonCsv, costsCsv, scoresCsv } from './comparison-csv.js'
import { comparisonMarkdown } from './comparison-markdown.js'
import type { RunEvaluations } from './evaluated-scores.js'

/**
 * | file | what |
 * |---|---|
 * | comparison.json | all of it |
 * | comparison.md | to be read: the table, what training cost, every run, scores by evaluation |
 * | comparison.csv | the table, every digit |
 * | comparison-costs.csv | what the training steps of each variant cost |
 * | comparison-scores.csv | every number of every evaluation of every finished run |
 */
export async function writeComparison(
  output: string,
  comparison: Comparison,
  evaluations: readonly RunEvaluations[],
): Promise<void> {
  const files = {
    'comparison.json': `${JSON.stringify(comparison, null, 2)}\n`,
    'comparison.md': comparisonMarkdown(comparison, output),
    'comparison.csv': comparisonCsv(comparison),
    'comparison-costs.csv': costsCsv(comparison),
    'comparison-scores.csv': scoresCsv(evaluations),
  }
  for (const [name, text] of Object.entries(files)) {
    const path = join(output, name)
    await replaceFile(path, text).catch((error) => {
      throw fileError(error, path, 'write the comparison')
    })
  }
}
