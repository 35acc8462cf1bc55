import type { Command } from 'commander'
import { addAdapter, extractAdapter, listAdapters, mergeAdapter } from '../model/index.js'
import { resolveCheckpoint } from '../training/index.js'
import { example } from './arguments.js'
import { note, printJson, printLines } from './output.js'

interface OutputFlags {
  adapter: string
  output: string
  json: boolean
}

export function registerAdapters(program: Command): void {
  const group = program.command('adapters').description("tasks' own modules inside a checkpoint's blocks")
  example(group, 'stratabert adapters list runs/pals')
  example(
    group
      .command('list')
      .description('the adapters of a checkpoint, their sizes and tasks')
      .argument('<checkpoint>', 'checkpoint or run folder')
      .option('--json', 'print one JSON document', false)
      .action(list),
    'stratabert adapters list runs/pals',
  )
  const output = (command: Command, what: string): Command =>
    command.option('--output <folder>', `${what} (required)`).option('--json', 'print one JSON document', false)
  const named = (command: Command): Command => command.option('--adapter <name>', 'its name (required)')
  example(
    output(
      named(
        group.command('extract').description('an adapter with the heads of its tasks as a folder of its own'),
      ).argument('<checkpoint>', 'checkpoint or run folder'),
      'folder of the adapter',
    ).action(extract),
    'stratabert adapters extract runs/pals --adapter RTE --output rte-adapter',
  )
  example(
    output(
      group
        .command('add')
        .description('a checkpoint with an extracted adapter and its heads')
        .argument('<checkpoint>', 'the base that the adapter was trained on')
        .option('--from <folder>', 'folder of the adapter (required)'),
      'folder of the new checkpoint',
    ).action(add),
    'stratabert adapters add base --from rte-adapter --output with-rte',
  )
  example(
    output(
      named(
        group.command('merge').description('a checkpoint whose encoder has an adapter in its own weights (lora, lhuc)'),
      ).argument('<checkpoint>', 'checkpoint or run folder'),
      'folder of the new checkpoint',
    ).action(merge),
    'stratabert adapters merge runs/lora --adapter RTE --output rte-model',
  )
}

async function folderOf(checkpoint: string): Promise<string> {
  const { folder, warnings } = await resolveCheckpoint(checkpoint)
  for (const warning of warnings) note(warning)
  return folder
}

async function list(checkpoint: string, { json }: { json: boolean }): Promise<void> {
  const folder = await folderOf(checkpoint)
  const found = await listAdapters(folder)
  if (json) return printJson(found)
  if (found.length === 0) return printLines([`${folder} has no adapter`])
  printLines(
    found.map(({ adapter: { name, kind, size }, parameters, tasks, heads }) => {
      const used = tasks.length > 0 ? `tasks ${tasks.join(', ')}` : `heads ${heads.join(', ') || 'none'}`
      return `${name}  ${kind}${size === undefined ? '' : ` ${size}`}  ${parameters.toLocaleString('en-US')} parameters  ${used}`
    }),
  )
}

async function extract(checkpoint: string, { adapter, output, json }: OutputFlags): Promise<void> {
  const folder = await folderOf(checkpoint)
  await extractAdapter(folder, adapter, output)
  tell(json, { adapter, from: folder, output }, `${output}: adapter ${adapter} of ${folder}`)
}

async function add(checkpoint: string, flags: { from: string; output: string; json: boolean }): Promise<void> {
  const folder = await folderOf(checkpoint)
  await addAdapter(folder, flags.from, flags.output)
  tell(
    flags.json,
    { from: flags.from, base: folder, output: flags.output },
    `${flags.output}: ${folder} with ${flags.from}`,
  )
}

async function merge(checkpoint: string, { adapter, output, json }: OutputFlags): Promise<void> {
  const folder = await folderOf(checkpoint)
  const { leftOut } = await mergeAdapter(folder, adapter, output)
  if (leftOut.length > 0) note(`heads that did not use ${adapter} are left out: ${leftOut.join(', ')}`)
  tell(json, { adapter, from: folder, output, leftOut }, `${output}: ${folder} with ${adapter} in its weights`)
}

function tell(json: boolean, facts: Record<string, unknown>, line: string): void {
  if (json) printJson(facts)
  else printLines([line])
}
