import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { parse } from 'yaml'
import { spreadSettings } from '../lib/cli/arguments.js'
import { ownCommandLine } from '../lib/cli/command-line.js'
import { createProgram, main } from '../lib/cli/main.js'
import { namedRecipes } from '../lib/recipes/index.js'
import { runHere as runInProcess } from './helpers/cli-here.js'
import { runCli } from './helpers/cli-process.js'

const fixtures = resolve(__dirname, 'fixtures')

/** Compares with a kept file; STRATABERT_UPDATE_FIXTURES=1 writes it anew after a wanted change. */
function sameAsFixture(name: string, text: string): void {
  const path = join(fixtures, name)
  if (process.env.STRATABERT_UPDATE_FIXTURES === '1') writeFileSync(path, text)
  assert.equal(text, readFileSync(path, 'utf8'), `${name} differs; scripts of users rely on it`)
}

function everyCommand(command: Command, path: string[] = []): [string, Command][] {
  return command.commands.flatMap((child) => {
    const name = [...path, child.name()]
    return [[name.join(' '), child] as [string, Command], ...everyCommand(child, name)]
  })
}

/** The same as {@link runCli} without a process of its own: ten times as fast. */
async function runHere(args: readonly string[]): Promise<{ code: typeof process.exitCode; stderr: string }> {
  const { write } = process.stderr
  let stderr = ''
  process.stderr.write = ((text: string) => {
    stderr += text
    return true
  }) as typeof write
  try {
    await main(['node', 'stratabert', ...args])
    return { code: process.exitCode, stderr }
  } finally {
    process.stderr.write = write
    process.exitCode = undefined
  }
}

describe('command line', function () {
  this.timeout(60_000)
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-cli-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('flags and their defaults are frozen', () => {
    const flags = Object.fromEntries(
      everyCommand(createProgram()).map(([name, command]) => [
        name,
        [
          ...command.registeredArguments.map((argument) =>
            argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
          ),
          ...command.options.map(
            (option) => `${option.flags}${option.defaultValue === undefined ? '' : ` = ${option.defaultValue}`}`,
          ),
        ],
      ]),
    )
    sameAsFixture('cli-flags.json', `${JSON.stringify(flags, null, 2)}\n`)
  })

  it('every command has a description, a line for every option and an example', () => {
    for (const [name, command] of everyCommand(createProgram())) {
      assert.ok(command.description(), name)
      for (const option of command.options) assert.ok(option.description, `${name} ${option.flags}`)
      let help = ''
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp()
      assert.match(help, /Example:\n {2}\$ .*\bstratabert /, name)
    }
  })

  it('help of train, as a user sees it', async () => {
    const { code, stdout } = await runCli(['train', '-h'])
    assert.equal(code, 0)
    sameAsFixture('cli-help-train.txt', stdout)
  })

  const wrong: [string[], RegExp][] = [
    [['trian'], /^error\[BAD_ARGUMENT\]: unknown command 'trian' \(Did you mean train\?\)/],
    [
      ['train', 'bert-pretrain', '--ouput', 'x'],
      /^error\[BAD_ARGUMENT\]: unknown option '--ouput' \(Did you mean --output\?\)/,
    ],
    // A dry run needs no folder: what is missing is the text.
    [['train', 'bert-pretrain', '--dry-run'], /^error\[BAD_RECIPE\]: data\.corpus: is missing/],
    [['train', 'bert-pretrain', '--dry-run', '--resume'], /^error\[BAD_ARGUMENT\]: --resume came without --output/],
    [['train', 'bert-pretrain'], /^error\[BAD_ARGUMENT\]: --output <run> is missing, expected the run folder/],
    [['train'], /^error\[BAD_ARGUMENT\]: missing required argument 'recipe'/],
    [
      ['evaluate', 'run', '--precision', 'int8'],
      /^error\[BAD_ARGUMENT\]: .*'int8' is invalid.*auto, fp32, bf16, fp16, fp64/,
    ],
    [
      ['tag', 'run', '--text', 'a', '--precision', 'f32'],
      /^error\[BAD_ARGUMENT\]: .*'f32' is invalid.*fp32, bf16, int8/,
    ],
    [
      ['train', 'bert-pretrain', '--output', 'x', '--seed', 'one'],
      /^error\[BAD_ARGUMENT\]: .*came "one", expected a whole number ≥ 0/,
    ],
    [
      ['train', 'bert-pretrian', '--output', 'x'],
      /^error\[BAD_RECIPE\]: no recipe is named "bert-pretrian"; did you mean "bert-pretrain"\?/,
    ],
    [
      ['train', 'bert-pretrain', '--output', 'x', '--set', 'encoder.layer=4'],
      /^error\[BAD_RECIPE\]: bert-pretrain: encoder\.layer: unknown key; did you mean "layers"\?/,
    ],
    [
      ['train', 'bert-pretrain', '--output', 'x', '--data', 'corpsu=a.txt'],
      /^error\[BAD_RECIPE\]: bert-pretrain: data\.corpsu: no task has this name; did you mean "corpus"\?/,
    ],
    [
      ['train', 'bert-pretrain', '--output', 'x', '--data', 'a.txt'],
      /^error\[BAD_ARGUMENT\]: --data came as "a\.txt", expected NAME=PATH/,
    ],
    [['train', 'bert-pretrain', '--output', 'x'], /^error\[BAD_RECIPE\]: data\.corpus: is missing/],
    [
      ['train', 'bert-pretrain', '--output', 'x', '--data', 'corpus=/no/such.txt'],
      /^error\[NOT_FOUND\]: cannot open the data: \/no\/such\.txt does not exist/,
    ],
    [['train', 'bert-pretrain', '--output', 'x', '--init', '/no/model'], /^error\[NOT_FOUND\]: .*\/no\/model/],
    [
      ['recipes', 'show', 'hierarchical-pretrain', '--set', 'preset=lower'],
      /^error\[BAD_RECIPE\]: .*preset: came "lower"/,
    ],
    [['embed', '/no/model', '--input', '-'], /^error\[NOT_FOUND\]: .*\/no\/model/],
    [
      ['embed', 'x', '--input', '-', '--pooling', 'sum'],
      /^error\[BAD_ARGUMENT\]: .*'sum' is invalid\. Allowed choices are mean, cls, max/,
    ],
    [['fill-mask', 'x'], /^error\[BAD_ARGUMENT\]: no text came/],
    [
      ['tokenizer', 'train', '--input', 'a.txt', '--output', 'x'],
      /^error\[BAD_ARGUMENT\]: --vocab-size <n> is missing/,
    ],
    [['evaluate', '/no/model'], /^error\[NOT_FOUND\]: .*\/no\/model/],
  ]
  for (const [args, pattern] of wrong) {
    it(`a wrong request gives 2: ${args.join(' ')}`, async () => {
      const { code, stderr } = await runHere(args)
      assert.match(stderr, pattern)
      assert.equal(code, 2)
    })
  }

  it('a process that was asked wrongly exits with 2 and leaves stdout empty', async () => {
    const { code, stdout, stderr } = await runCli(
      ['train', 'bert-pretrain', '--output', 'x', '--set', 'encoder.layer=4', '--json'],
      { cwd: folder },
    )
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /^error\[BAD_RECIPE\]: bert-pretrain: encoder\.layer: unknown key; did you mean "layers"\?\n$/)
  })

  it('a command group without a command shows its help and exits with 2', async () => {
    const { code, stdout, stderr } = await runCli(['tokenizer'])
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /Usage: stratabert tokenizer/)
  })

  it('recipes and recipes show print one JSON document', async () => {
    const list = await runCli(['recipes', '--json'])
    assert.deepEqual(
      JSON.parse(list.stdout).map(({ name }: { name: string }) => name),
      [
        'bert-pretrain',
        'hierarchical-pretrain',
        'cramming',
        'dacbert',
        'fine-tune',
        'mt-dnn',
        'pals',
        'bermo',
        'parser',
      ],
    )
    const shown = await runCli(['recipes', 'show', 'hierarchical-pretrain', '--set', 'encoder.layers=12', '--json'])
    const recipe = JSON.parse(shown.stdout)
    assert.deepEqual([recipe.heads.nsp.layer, recipe.heads.mlm.layer, recipe.heads.bshift.layer], [6, 12, 4])
    assert.equal(shown.stderr, '')
  })

  it('--set takes several settings, and is repeated', async () => {
    const one = ['--set', 'encoder.layers=12', '--set', 'heads.mlm.weight=2', '--set', 'seed=7']
    for (const several of [
      ['--set', 'encoder.layers=12', 'heads.mlm.weight=2', '--set', 'seed=7'],
      ['--set=encoder.layers=12', 'heads.mlm.weight=2', 'seed=7'],
    ])
      assert.deepEqual(
        spreadSettings(several).flatMap((word) => word.split(/(?<=^--set)=/)),
        one,
      )
    // The recipe may stand behind them, in a folder of any name; what is no setting stays where it is.
    const rest = ['--set', 'a=1', 'runs/a=1/recipe.yaml', 'b=2', '--output', 'c=3', '--set', '--json']
    assert.deepEqual(spreadSettings(rest), rest)
    const shown = await runCli(['recipes', 'show', '--set', 'encoder.layers=12', 'seed=7', 'bert-pretrain', '--json'])
    const { encoder, seed } = JSON.parse(shown.stdout)
    assert.deepEqual([encoder.layers, seed], [12, 7])
  })

  it('recipes show prints YAML that resolves to itself, of every named recipe', async () => {
    for (const { name } of namedRecipes) {
      const { stdout, stderr } = await runInProcess('recipes', 'show', name)
      assert.equal(stderr, '', name)
      writeFileSync(join(folder, 'mine.yaml'), stdout)
      const again = await runInProcess('recipes', 'show', join(folder, 'mine.yaml'))
      assert.deepEqual(parse(again.stdout), parse(stdout))
    }
    const task = await runInProcess('recipes', 'show', 'pals', '--data', 'cola=CoLA', '--json')
    assert.deepEqual(Object.keys(JSON.parse(task.stdout).tasks), ['cola'])
  })

  it('--dry-run counts and writes nothing into the run folder', async () => {
    const corpus = resolve(__dirname, '../examples/data/wikipedia-sample.txt')
    const args = [
      'train',
      'hierarchical-pretrain',
      '--output',
      'run',
      '--data',
      `corpus=${corpus}`,
      '--dry-run',
      '--json',
    ]
    const small = [
      '--set',
      'tokenizer.train.vocabSize=1024',
      '--set',
      'encoder.layers=2',
      '--set',
      'encoder.hiddenSize=64',
      '--set',
      'budget.steps=7',
    ]
    const { code, stdout } = await runCli([...args, ...small], {
      cwd: folder,
      env: { XDG_CACHE_HOME: join(folder, 'cache') },
    })
    assert.equal(code, 0)
    const plan = JSON.parse(stdout)
    assert.deepEqual([plan.data.training.documents, plan.data.heldOut.documents], [392, 43])
    assert.deepEqual([plan.stages[0].steps, plan.tokenizer.vocabSize], [7, 1024])
    const { inputs, followed, random, unlabelled, tokens, cutTokens, documents } = plan.stages[0].textInputs
    assert.deepEqual([inputs, tokens, documents], [followed + random + unlabelled, plan.stages[0].tokensPerEpoch, 392])
    // A random next sentence stands in a second input beside its own: nothing is missing but what was cut off.
    assert.ok(tokens + cutTokens >= plan.data.training.tokens + 2 * inputs && cutTokens > 0, `${tokens} ${cutTokens}`)
    // By hand: V 1024, H 64, F 256, 512 positions, 2 segments, 2 layers; heads: bshift 2 × 64 + 2, nsp H² + H + 2 H + 2, mlm with concat 2 H² + H, 2 H, V.
    const [V, H, F] = [1024, 64, 256]
    const embeddings = V * H + 512 * H + 2 * H + 2 * H
    const block = 4 * (H * H + H) + 2 * H + (H * F + F) + (F * H + H) + 2 * H
    const heads = 2 * H + 2 + (H * H + H + 2 * H + 2) + (2 * H * H + H + 2 * H + V)
    assert.equal(plan.parameters.total, embeddings + 2 * block + heads)
    assert.throws(() => readFileSync(join(folder, 'run')), { code: 'ENOENT' })

    const watching = await runCli([...args, ...small, '--set', 'checkpoint.best={metric: mlm.los, mode: min}'], {
      cwd: folder,
      env: { XDG_CACHE_HOME: join(folder, 'cache') },
    })
    assert.equal(watching.code, 2)
    assert.match(watching.stderr, /checkpoint\.best\.metric is mlm\.los, .*did you mean mlm\.loss/s)
  })

  it('a recipe file names file and line at a fault', async () => {
    writeFileSync(join(folder, 'bad.yaml'), 'extends: bert-pretrain\nencoder:\n  layrs: 3\n')
    const { code, stderr } = await runCli(['train', 'bad.yaml', '--output', 'x'], { cwd: folder })
    assert.equal(code, 2)
    assert.match(
      stderr,
      /^error\[BAD_RECIPE\]: bad\.yaml: encoder\.layrs: unknown key; did you mean "layers"\? \(bad\.yaml line 3\)/,
    )
  })

  it('tokenizer train writes a folder that loads', async () => {
    const corpus = resolve(__dirname, '../examples/data/wikipedia-sample.txt')
    const { code, stdout } = await runCli(
      ['tokenizer', 'train', '--input', corpus, '--vocab-size', '600', '--output', 'pieces', '--json'],
      { cwd: folder },
    )
    assert.equal(code, 0)
    assert.equal(JSON.parse(stdout).vocabSize, 600)
    assert.equal(readFileSync(join(folder, 'pieces/vocab.txt'), 'utf8').trimEnd().split('\n').length, 600)
  })

  it('the command that a document names can be copied into a shell', () => {
    assert.equal(
      ownCommandLine(['compare', 'my runs/a.yaml', '--data', 'glue=data/GLUE', "it's"]),
      "stratabert compare 'my runs/a.yaml' --data glue=data/GLUE 'it'\\''s'",
    )
  })
})
