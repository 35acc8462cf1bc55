import { join } from 'node:path'
import type { Command } from 'commander'
import { fileError } from '../errors.js'
import { agreementTable, showAgreements } from '../recipes/index.js'
import { makeFolder, replaceFile } from '../training/index.js'
import { example, precisionOption } from './arguments.js'
import { plainJson, printJson, printLines } from './output.js'

interface AgreementsFlags {
  output?: string
  device: string
  precision: 'auto' | 'fp32' | 'bf16' | 'fp16' | 'fp64'
  json: boolean
}

const FILE = 'agreements.json'

export function registerAgreements(program: Command): void {
  const command = program
    .command('agreements')
    .description('which chunks of a text agree, as the submodels of a DACBERT checkpoint see it')
    .argument('<checkpoint>', 'checkpoint or run folder of the recipe dacbert')
    .argument('<text>', 'one or several sentences')
    .option('--output <folder>', `write ${FILE} there, for the report`)
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', 'auto')
    .addOption(precisionOption('scoring', 'fp32'))
    .option('--json', 'print one JSON document, with all probabilities', false)
    .action(agreements)
  example(command, 'stratabert agreements runs/dacbert "The old man fed the dogs that he had found."')
}

async function agreements(checkpoint: string, text: string, flags: AgreementsFlags): Promise<void> {
  const { output, json, ...options } = flags
  const shown = await showAgreements(checkpoint, text, options)
  if (output !== undefined) {
    try {
      await makeFolder(output)
      await replaceFile(join(output, FILE), plainJson(shown))
    } catch (error) {
      throw fileError(error, output, 'write the agreements')
    }
  }
  if (json) return printJson(shown)
  const gates = Object.entries(shown.gates).map(([relation, gate]) => `${relation} ${gate.toFixed(3)}`)
  printLines([
    ...shown.sentences.flatMap((sentence, index) => [...(index > 0 ? [''] : []), ...agreementTable(sentence)]),
    '',
    `a chunk's head and its probability in per cent; gates: ${gates.join(', ')}`,
  ])
}
