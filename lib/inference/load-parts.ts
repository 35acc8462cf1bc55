import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import {
  type Device,
  freshWarnings,
  type LoadedModel,
  type LoadModelOptions,
  loadModel,
  type ModelFolder,
  readModelFolder,
} from '../model/index.js'
import { resolveDevice } from '../runtime/index.js'
import { shownValue } from '../shown-value.js'
import { Tokenizer } from '../text/index.js'
import { resolveCheckpoint, resolveTaskCheckpoint, untrainedTaskWarnings } from '../training/index.js'
import { warn } from '../warn.js'
import { checkText } from './check-arguments.js'
import type { LoadedParts } from './loaded-parts.js'
import { type OptionKinds, ownStrings } from './own-arguments.js'

export interface LoadPartsOptions {
  /** Default `auto`: CUDA where it can be had, else the CPU. */
  device?: Device
  /** Default `fp32`. `bf16` is faster on hardware that has it; cosine to fp32 vectors stays above 0.999. `int8`: docs/precisions.md. */
  precision?: LoadModelOptions['precision']
  /** Folders of adapters (see saveAdapter) that are added with their heads and tasks. */
  adapterFolders?: readonly string[]
  /**
   * Task or head that will be asked. Of a run folder its own checkpoint is then taken, that of the last stage that trained it, in place of
   * the newest one; a checkpoint folder is taken as it is.
   */
  task?: string
}

/** See {@link LoadPartsOptions}. */
export const LOAD_PARTS_OPTIONS: OptionKinds<LoadPartsOptions> = {
  device: 'any',
  precision: 'any',
  adapterFolders: 'any',
  task: 'any',
}

/** Model and tokenizer of a checkpoint, a run folder's newest whole checkpoint or a task's own, or a Hugging Face folder. */
export async function loadParts(path: string, options: LoadPartsOptions): Promise<LoadedParts> {
  const { task } = options
  if (task !== undefined) checkText('task', task)
  const { precision = 'fp32', adapterFolders } = options
  if (adapterFolders !== undefined && !ownStrings(adapterFolders))
    throw new StrataError(
      'BAD_ARGUMENT',
      `adapterFolders came as ${shownValue(adapterFolders)}, expected a list of folders`,
    )
  const { folder, warnings } = await (task === undefined ? resolveCheckpoint(path) : resolveTaskCheckpoint(path, task))
  warn(warnings)
  const read = [folder, ...(adapterFolders ?? [])]
  const before = await versionOf(read)
  const tokenizer = await Tokenizer.load(folder)
  const device = resolveDevice(options.device) as Device
  const loaded = await loadModel(folder, { device, precision, adapterFolders, inference: true })
  const { model, config, tasks, fresh } = loaded
  warn(freshWarnings(folder, fresh))
  try {
    if (tokenizer.vocabSize > config.encoder.vocabSize) {
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${folder}: the tokenizer has ${tokenizer.vocabSize} tokens, the encoder ${config.encoder.vocabSize}; they do not belong together`,
      )
    }
    if (task !== undefined) checkTask(task, loaded, folder)
    // What adapters bring was trained elsewhere.
    const own = adapterFolders?.length ? await readModelFolder(folder) : loaded
    const used = task === undefined ? own.tasks.map(({ name }) => name) : namesOf(own).filter((name) => name === task)
    warn(await untrainedTaskWarnings(folder, used))
    if ((await versionOf(read)) !== before) {
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${read.join(' or ')} was changed while it was loaded: its files may not belong together; load it again, and put each version into a folder of its own`,
        { details: { folder } },
      )
    }
  } catch (error) {
    await model.dispose()
    throw error
  }
  return { model, tokenizer, tasks }
}

/** Files that are read one after the other and say what the weights mean. */
const READ_FILES = [
  'config.json',
  'stratabert.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.txt',
  'model.safetensors',
  'adapter.json',
  'adapter.safetensors',
]

/** Another one when a file was written, or a link in the folder (as Kubernetes has them) was moved. No inodes: some file systems make them up anew. */
async function versionOf(folders: readonly string[]): Promise<string> {
  const paths = folders.flatMap((folder) => READ_FILES.map((name) => join(folder, name)))
  const files = paths.map((path) => stat(path, { bigint: true }).catch(() => undefined))
  return (await Promise.all(files)).map((file) => file && `${file.size} ${file.mtimeNs} ${file.ctimeNs}`).join()
}

function checkTask(task: string, loaded: LoadedModel, folder: string): void {
  const names = namesOf(loaded)
  if (names.includes(task)) return
  throw new StrataError(
    'BAD_ARGUMENT',
    `no task is named ${shownValue(task)}; ${folder} has: ${names.join(', ') || 'none'}; name one of these (task)`,
    { details: { task, folder } },
  )
}

/** Tasks and heads, as they can be asked. */
function namesOf({ config, tasks }: Pick<ModelFolder, 'config' | 'tasks'>): string[] {
  return [...new Set([...tasks, ...config.heads].map(({ name }) => name))]
}
