/** Files of a probe report. Each appears whole or not at all. */
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileError } from '../../errors.js'
import { replaceOutput } from '../../output-file.js'
import type { ProbeCell, ProbeReport } from './probe-report.js'
import { probeCsv, probeMarkdown } from './probe-table.js'

/** Writes probes.json, probes.md and probes.csv; returns their paths. */
export async function writeProbeReport(folder: string, report: ProbeReport): Promise<string[]> {
  const files = {
    'probes.csv': probeCsv(report),
    'probes.md': probeMarkdown(report),
    // Last: who reads this one finds the others.
    'probes.json': `${JSON.stringify(report, null, 2)}\n`,
  }
  const paths: string[] = []
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name)
    await writeWhole(path, text)
    paths.push(path)
  }
  return paths
}

/** Writes predictions/TASK.LAYER.CLASSIFIER.tsv: number, label and prediction of each test example. */
export async function writePredictions(
  folder: string,
  task: { name: string; classes: readonly string[] },
  { layer, classifier }: Pick<ProbeCell, 'layer' | 'classifier'>,
  labels: Int32Array,
  predictions: Int32Array,
): Promise<string> {
  const path = join(folder, 'predictions', `${task.name}.${layer}.${classifier}.tsv`)
  const lines = ['example\tlabel\tprediction']
  labels.forEach((label, index) => {
    lines.push(`${index}\t${task.classes[label]}\t${task.classes[predictions[index]]}`)
  })
  await writeWhole(path, `${lines.join('\n')}\n`)
  return path
}

async function writeWhole(path: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true })
    await replaceOutput(path, text)
  } catch (error) {
    throw fileError(error, path, 'write the report')
  }
}
