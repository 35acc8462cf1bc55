import assert from 'node:assert/strict'
import { loadRecipe } from '../lib/recipes/load-recipe.js'
import { modelConfigOf } from '../lib/recipes/model-of-recipe.js'
import { namedRecipes } from '../lib/recipes/named-recipes.js'
import { openedDefinition, taskDefinition } from '../lib/recipes/recipe-tasks.js'
import { resolveRecipe } from '../lib/recipes/resolve-recipe.js'
import { overlayOfSetOptions } from '../lib/recipes/set-option.js'
import type { RankingTaskDefinition, TaggingTaskDefinition, TextTaskDefinition } from '../lib/tasks/index.js'

async function resolved(name: string, ...set: string[]) {
  const source = await loadRecipe(name)
  return resolveRecipe(source.values, { ...source, overlay: overlayOfSetOptions(set) })
}

async function layers(name: string, ...set: string[]) {
  const { heads } = await resolved(name, ...set)
  return Object.fromEntries(Object.entries(heads).map(([head, { layer }]) => [head, layer]))
}

describe('named recipes', () => {
  // half = max(2, round(L / 2)), third = max(2, round(L / 3))
  const table: [string, number, Record<string, number>][] = [
    ['lower-nsp+transfer', 6, { nsp: 3, mlm: 6, bshift: 2 }],
    ['lower-nsp+transfer', 12, { nsp: 6, mlm: 12, bshift: 4 }],
    ['lower-nsp+transfer', 2, { nsp: 2, mlm: 2, bshift: 2 }],
    ['lower-nsp', 4, { nsp: 2, mlm: 4, bshift: 2 }],
    ['lower-nsp', 5, { nsp: 3, mlm: 5, bshift: 2 }],
    ['lower-mlm', 6, { nsp: 6, mlm: 3, bshift: 2 }],
    ['lower-mlm', 24, { nsp: 24, mlm: 12, bshift: 8 }],
    ['baseline', 6, { nsp: 6, mlm: 6, bshift: 6 }],
  ]
  for (const [preset, depth, expected] of table) {
    it(`hierarchical-pretrain ${preset} at ${depth} layers`, async () => {
      assert.deepEqual(await layers('hierarchical-pretrain', `preset=${preset}`, `encoder.layers=${depth}`), expected)
    })
  }

  it('bert-pretrain has masked LM and next sentence at the top, bigram shift on demand', async () => {
    assert.deepEqual(await layers('bert-pretrain'), { mlm: 6, nsp: 6 })
    assert.deepEqual(await layers('bert-pretrain', 'bigramShift.level=both'), {
      mlm: 6,
      nsp: 6,
      bshift: 6,
      bshiftToken: 6,
    })
  })

  it('the transfer belongs to its preset alone', async () => {
    const config = modelConfigOf(await resolved('hierarchical-pretrain'), 100)
    const mlm = config.heads.find((head) => head.name === 'mlm')
    assert.deepEqual(mlm, {
      name: 'mlm',
      kind: 'masked-lm',
      tap: { layer: 6 },
      weight: 1,
      transfer: { from: 'nsp', mode: 'concat', stopGradient: false },
    })
    for (const preset of ['lower-nsp', 'lower-mlm', 'baseline']) {
      const heads = modelConfigOf(await resolved('hierarchical-pretrain', `preset=${preset}`), 100).heads
      assert.ok(
        heads.every((head) => !('transfer' in head)),
        preset,
      )
    }
    const none = modelConfigOf(await resolved('hierarchical-pretrain', 'heads.mlm.transfer.mode=none'), 100)
    assert.ok(none.heads.every((head) => !('transfer' in head)))
  })

  it('bigramShift levels, layer and own values of a head', async () => {
    const token = await resolved('hierarchical-pretrain', 'bigramShift.level=token', 'bigramShift.layer=1')
    assert.deepEqual(token.heads.bshiftToken, {
      kind: 'bigram-shift',
      level: 'token',
      layer: 1,
      read: 'mean',
      weight: 1,
    })
    assert.equal(token.heads.bshift, undefined)
    assert.equal((await layers('hierarchical-pretrain', 'heads.bshift.layer=4')).bshift, 4)
    assert.equal((await layers('hierarchical-pretrain', 'heads.bshift=null')).bshift, undefined)
    assert.equal((await layers('hierarchical-pretrain', 'bigramShift.level=none')).bshift, undefined)
    await assert.rejects(layers('hierarchical-pretrain', 'bigramShift.layer=1'), /no pair of neighbours has met yet/)
  })

  it('a preset of another spelling, and one layer too few', async () => {
    await assert.rejects(
      resolved('hierarchical-pretrain', 'preset=lower-mml'),
      /preset: came "lower-mml".*did you mean "lower-mlm"\?/,
    )
    await assert.rejects(
      resolved('hierarchical-pretrain', 'encoder.layers=1'),
      /heads\.nsp\.layer: came 2, expected at most encoder\.layers = 1/,
    )
  })

  it('both recipes agree in everything but the heads', async () => {
    const [bert, hierarchical] = [await resolved('bert-pretrain'), await resolved('hierarchical-pretrain')]
    for (const key of [
      'encoder',
      'masking',
      'inputs',
      'batch',
      'optimizer',
      'schedule',
      'clip',
      'budget',
      'seed',
    ] as const) {
      assert.deepEqual(hierarchical[key], bert[key], key)
    }
  })

  it('every preset of every recipe resolves at 2, 6 and 12 layers with every level', async () => {
    for (const recipe of namedRecipes) {
      assert.ok(recipe.presets[recipe.defaultPreset])
      // Recipes for labelled data have no head of their own.
      const task = recipe.base.heads ? [] : ['tasks.rte={}']
      const sentences = recipe.base.heads && recipe.base.inputs?.kind !== 'packed'
      const levels = sentences ? ['none', 'sentence', 'token', 'both'] : ['none']
      for (const preset of Object.keys(recipe.presets)) {
        for (const depth of [2, 6, 12]) {
          for (const level of levels) {
            const set = [`preset=${preset}`, `encoder.layers=${depth}`, `bigramShift.level=${level}`, ...task]
            await resolved(recipe.name, ...set)
          }
        }
      }
    }
  })

  it('a parser is saved on the way, so that a run that is killed goes on', async () => {
    const { checkpoint, mixes } = await resolved('parser', 'tasks.parsing={}')
    // The states of a crammed encoder grow with the layer: they are normalised before they are mixed.
    const crammed = await resolved('parser', 'tasks.parsing={}', 'encoder.kind=crammed')
    assert.deepEqual([mixes.layers.layerNorm, crammed.mixes.layers.layerNorm], [false, true])
    assert.deepEqual([checkpoint.everySteps, checkpoint.keep], [500, 1])
  })

  it('a checkpoint to start from brings its shape; another shape in the recipe is refused', async () => {
    const { values } = await loadRecipe('hierarchical-pretrain')
    const encoder = {
      ...(await resolved('bert-pretrain')).encoder,
      vocabSize: 30522,
      layers: 12,
      hiddenSize: 768,
      heads: 12,
      intermediateSize: 3072,
    }
    const init = { folder: '/models/bert', encoder }
    const recipe = resolveRecipe(values, { init })
    assert.deepEqual(
      [recipe.encoder.layers, recipe.encoder.hiddenSize, recipe.tokenizer, recipe.heads.nsp.layer],
      [12, 768, '/models/bert', 6],
    )
    assert.throws(
      () => resolveRecipe(values, { init, overlay: { encoder: { layers: 4 } } }),
      /encoder\.layers: came 4, but the checkpoint to start from has 12/,
    )
    assert.throws(
      () => resolveRecipe(values, { init, overlay: { tokenizer: { train: { vocabSize: 100 } } } }),
      /tokenizer\.train: a new vocabulary does not fit/,
    )
  })

  it('a sampler or an adapter of another kind does not keep the fields of the one below', async () => {
    const { sampler, adapter } = await resolved('pals', 'preset=tasks', 'sampler.kind=sqrt', 'adapter.kind=lora')
    assert.deepEqual(sampler, { kind: 'sqrt' })
    assert.deepEqual(adapter, { kind: 'lora' })
    const same = await resolved('pals', 'preset=tasks', 'sampler.kind=annealed', 'adapter.size=96')
    assert.deepEqual(same.sampler, { kind: 'annealed', epochs: 25 })
    assert.deepEqual(same.adapter, { kind: 'pal', size: 96, heads: 6, outputGelu: true })
    const unnamed = { tasks: { rte: {} }, budget: { steps: 1 }, sampler: { temperature: 2 } }
    const named = resolveRecipe(unnamed, { overlay: { sampler: { kind: 'temperature' } } })
    assert.deepEqual(named.sampler, { kind: 'temperature', temperature: 2 })
    const settings = ['method=soft-movement', 'penalty=10', 'threshold=0.2'].map((one) => `pruning.${one}`)
    const { pruning } = await resolved('fine-tune', 'tasks.rte={}', ...settings)
    const above = { overlay: { pruning: { method: 'movement', finalDensity: 0.3 } } }
    const other = resolveRecipe({ extends: 'fine-tune', tasks: { rte: {} }, pruning }, above)
    assert.deepEqual([other.pruning?.method, 'penalty' in other.pruning!], ['movement', false])
  })

  it("a known task has the paper's settings however its slot is spelt", async () => {
    const mtDnn = await resolved('mt-dnn', 'tasks.MNLI={}', 'tasks.genres.use=mnli', 'tasks.CoLA={}', 'tasks.rte={}')
    assert.deepEqual(
      Object.values(mtDnn.tasks).map(({ head }) => head.dropout),
      [0.3, 0.3, 0.05, 0.1],
    )
    for (const name of ['sts-b', 'STS-B', 'stsb', 'sts']) {
      const pals = await resolved('pals', `tasks.${name}={}`)
      assert.deepEqual(pals.tasks[name].definition, { targetDivisor: 5 }, name)
    }
    const own = await resolved('pals', 'tasks.sts.definition.targetDivisor=1')
    assert.deepEqual(own.tasks.sts.definition, { targetDivisor: 1 })
  })

  it('the mix of bermo normalises the layers of a crammed encoder alone', async () => {
    for (const [kind, layerNorm] of [
      ['bert', false],
      ['crammed', true],
    ] as const) {
      const { mixes } = await resolved('bermo', 'tasks.rte={}', `encoder.kind=${kind}`)
      assert.deepEqual(mixes.bermo, { includeEmbeddings: false, layerNorm, init: 'last' })
    }
  })

  it('a SAN reads the second text first, unless the recipe says otherwise', async () => {
    for (const [set, expected] of [
      ['{}', true],
      ['{ definition: { hypothesisFirst: false } }', false],
      ['{ head: { kind: classifier } }', undefined],
    ] as const) {
      const { hypothesisFirst } = openedDefinition(
        await resolved('mt-dnn', `tasks.rte=${set}`),
        'rte',
      ) as TextTaskDefinition
      assert.equal(hypothesisFirst, expected, set)
    }
  })

  it('of a known task a recipe says what differs; a text with a label is a table of its own', async () => {
    const of = async (name: string, ...set: string[]) =>
      taskDefinition(await resolved('fine-tune', ...set.map((one) => `tasks.${name}.definition.${one}`)), name)
    const rte = taskDefinition(await resolved('fine-tune', 'tasks.rte={}'), 'rte')
    assert.deepEqual(await of('rte', 'label=gold'), { ...rte, label: { names: ['gold'] } })
    assert.deepEqual(await of('rte', 'text=[a, 2]'), { ...rte, texts: [{ names: ['a'] }, { position: 2 }] })
    assert.deepEqual(await of('rte', 'text=a', 'label=gold'), {
      name: 'rte',
      kind: 'classification',
      metrics: ['accuracy', 'f1Macro'],
      texts: [{ names: ['a'] }],
      label: { names: ['gold'] },
      header: true,
    })
    assert.equal((await of('sts-b', 'text=[a, b]', 'label=gold')).kind, 'regression')
    const { question, candidate, positive, negative } = (await of(
      'qnli-ranking',
      ...['question=q', 'positive=["yes"]', 'negative=["no"]'],
    )) as RankingTaskDefinition
    assert.deepEqual([question, candidate?.names], [{ names: ['q'] }, ['sentence', 'sentence2']])
    assert.deepEqual([positive, negative], [['yes'], ['no']])
    assert.equal(((await of('pos', 'kind=tagging', 'column=xpos')) as TaggingTaskDefinition).column, 'xpos')
    assert.deepEqual(((await of('upos', 'words=form')) as TaggingTaskDefinition).words, { names: ['form'] })
    await assert.rejects(of('mood', 'text=a'), {
      code: 'BAD_RECIPE',
      message: /task mood: definition\.label is missing/,
    })
    await assert.rejects(of('mood', 'label=a'), { code: 'BAD_RECIPE', message: /definition\.text is missing/ })
  })

  it('a key of another kind of task is refused by name', async () => {
    for (const [name, set, key, kind] of [
      ['rte', ['stride=8'], 'stride', 'classification'],
      ['squad', ['range=[0, 5]'], 'range', 'span'],
      ['mood', ['text=a', 'label=b', 'column=upos'], 'column', 'classification'],
      ['pos', ['kind=tagging', 'format=jsonl'], 'format', 'tagging'],
      ['parsing', ['words=form'], 'words', 'parsing'],
      ['qnli-ranking', ['text=a'], 'text', 'ranking'],
      ['sts-b', ['labels=[a, b]'], 'labels', 'regression'],
    ] as const) {
      const given = set.map((one) => `tasks.${name}.definition.${one}`)
      const message = new RegExp(`tasks\\.${name}\\.definition\\.${key}: is no key of kind ${kind}, expected some of`)
      await assert.rejects(resolved('fine-tune', ...given), { code: 'BAD_RECIPE', message })
    }
  })
})
