#!/usr/bin/env node
import './check-node.js'

import { Command, CommanderError } from 'commander'
import { StrataError } from '../errors.js'
import { registerAdapters } from './adapters.js'
import { registerAgreements } from './agreements.js'
import { registerAnswer } from './answer.js'
import { needOptions, spreadSettings } from './arguments.js'
import { registerChunk } from './chunk.js'
import { registerClassify } from './classify.js'
import { registerCompare } from './compare.js'
import { registerDoctor } from './doctor.js'
import { registerEmbed } from './embed.js'
import { registerEvaluate } from './evaluate.js'
import { registerFillMask } from './fill-mask.js'
import { registerLayers } from './layers.js'
import { registerLibtorch } from './libtorch.js'
import { reportError } from './output.js'
import { registerParse } from './parse.js'
import { registerProbe } from './probe.js'
import { registerProbes } from './probes.js'
import { registerRecipes } from './recipes.js'
import { registerReport } from './report.js'
import { registerTag } from './tag.js'
import { registerTokenizer } from './tokenizer.js'
import { registerTrain } from './train.js'

/** The whole command line, without side effects: tests read its options and help from here. */
export function createProgram(): Command {
  const { version } = require('../../package.json') as { version: string }
  const program = new Command('stratabert')
    .description('BERT encoders in which every task sits at its own layer')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .showSuggestionAfterError(true)
    // Errors are told in one form, by reportError.
    .configureOutput({ outputError: () => {} })
    .exitOverride()
    .hook('preAction', (_, command) => needOptions(command))
  for (const register of [
    registerRecipes,
    registerTrain,
    registerEvaluate,
    registerCompare,
    registerLayers,
    registerEmbed,
    registerFillMask,
    registerClassify,
    registerAnswer,
    registerTag,
    registerParse,
    registerChunk,
    registerAgreements,
    registerAdapters,
    registerProbe,
    registerProbes,
    registerReport,
    registerTokenizer,
  ])
    register(program)
  for (const register of [registerDoctor, registerLibtorch]) register(program)
  return program
}

/** Runs one command; the exit code is 0 = done, 1 = it failed while working, 2 = the request was wrong. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    await createProgram().parseAsync(spreadSettings(argv))
  } catch (error) {
    process.exitCode = error instanceof CommanderError ? commanderExit(error) : reportError(error)
  }
}

function commanderExit(error: CommanderError): number {
  if (error.exitCode === 0) return 0
  // A command group without a command: commander has shown its help on stderr.
  if (error.code === 'commander.help') return 2
  const [first, ...rest] = error.message.replace(/^error: /, '').split('\n')
  const suggestion = rest.length > 0 ? ` ${rest.join(' ')}` : ''
  return reportError(new StrataError('BAD_ARGUMENT', `${first}${suggestion}; see -h`))
}

/** A run that `compare` started stops with it, as after SIGTERM: a training run writes its checkpoint. */
function stopWithParent(): void {
  if (process.env.STRATABERT_STOP_WITH_PARENT !== '1') return
  delete process.env.STRATABERT_STOP_WITH_PARENT
  const stop = () => process.kill(process.pid, 'SIGTERM')
  // It may have gone while this program was loaded.
  if (!process.connected) return void stop()
  process.once('disconnect', stop)
  process.channel?.unref()
}

if (require.main === module) {
  // A reader that has seen enough (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  stopWithParent()
  void main(process.argv)
}
