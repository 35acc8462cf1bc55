/** The tasks of the fine-tuning benchmark, opened alike by the driver and by our side. */
import path from 'node:path'
import { definitionOf, type OpenTaskOptions } from '../lib/tasks/index.js'
import type { Tokenizer } from '../lib/text/index.js'
import { sharedData } from './enwiki-batches.js'

export const FINETUNE_TASKS = ['rte', 'mrpc'] as const
export type FinetuneTask = (typeof FINETUNE_TASKS)[number]

export const BATCH_SEQUENCES = 32

const FOLDERS: Record<FinetuneTask, string> = { rte: 'glue/RTE', mrpc: 'glue/MRPC' }

export function taskOptions(task: FinetuneTask, tokenizer: Tokenizer): OpenTaskOptions {
  return {
    definition: definitionOf(task),
    name: task,
    data: path.join(sharedData(), FOLDERS[task]),
    tokenizer,
    seed: 1,
    sequences: BATCH_SEQUENCES,
    sequenceTokens: 128,
    splits: ['train'],
  }
}
