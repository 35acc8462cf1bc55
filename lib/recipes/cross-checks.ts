import { agreementFaults, relationNames } from './agreements-of-recipe.js'
import { pruningFaults } from './pruning-of-recipe.js'
import type { RecipeProblem } from './recipe-problems.js'
import type { ResolvedHead, ResolvedRecipe } from './resolve-recipe.js'
import { taskFaults } from './task-checks.js'

/** Faults that no single key shows. */
export function checkAcrossKeys(recipe: ResolvedRecipe): RecipeProblem[] {
  return [
    ...encoderFaults(recipe),
    ...headFaults(recipe),
    ...taskFaults(recipe),
    ...inputFaults(recipe),
    ...budgetFaults(recipe),
    ...runFaults(recipe),
    ...pruningFaults(recipe),
    ...agreementFaults(recipe),
  ]
}

function encoderFaults({ encoder }: ResolvedRecipe): RecipeProblem[] {
  const { hiddenSize, heads, intermediateSize, kind } = encoder
  const problems: RecipeProblem[] = []
  if (hiddenSize % heads !== 0)
    problems.push({
      key: 'encoder.hiddenSize',
      message: `came ${hiddenSize}, expected a multiple of encoder.heads = ${heads}`,
    })
  if (kind === 'crammed' && intermediateSize % 2 !== 0)
    problems.push({
      key: 'encoder.intermediateSize',
      message: `came ${intermediateSize}, expected an even number for a crammed encoder: half of it are gates`,
    })
  return problems
}

function headFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const heads = Object.entries(recipe.heads)
  if (heads.length === 0 && Object.keys(recipe.tasks).length === 0)
    return [
      {
        key: 'heads',
        message:
          'has no head and there is no labelled task, expected at least one, like heads.mlm: { kind: masked-lm } or --data rte=FOLDER',
      },
    ]
  const { layers } = recipe.encoder
  const problems: RecipeProblem[] = []
  const firstOfTask = new Map<string, string>()
  for (const [name, head] of heads) {
    const key = `heads.${name}`
    if (head.layer > layers) {
      problems.push({ key: `${key}.layer`, message: `came ${head.layer}, expected at most encoder.layers = ${layers}` })
    }
    const task = head.kind === 'bigram-shift' ? `${head.kind}, level ${head.level}` : head.kind
    const other = firstOfTask.get(task)
    if (other)
      problems.push({
        key,
        message: `is a second head of kind ${task} beside heads.${other}, expected one; remove one of them`,
      })
    firstOfTask.set(task, name)
    if (head.kind === 'masked-lm') problems.push(...transferFaults(recipe, key, head))
    if (head.kind === 'bigram-shift' && head.level === 'sentence' && head.layer < 2) {
      problems.push({
        key: `${key}.layer`,
        message: `came ${head.layer}, expected at least 2 for a sentence's label: after one block a state has only seen single positions, no pair of neighbours has met yet`,
      })
    }
  }
  return problems
}

function transferFaults(
  recipe: ResolvedRecipe,
  key: string,
  head: ResolvedHead & { kind: 'masked-lm' },
): RecipeProblem[] {
  const { transfer } = head
  if (!transfer || transfer.mode === 'none') return []
  if (!head.transform) {
    const message = `came ${transfer.mode} with ${key}.transform false, expected a transform that takes what is handed over; set ${key}.transfer.mode=none or ${key}.transform=true`
    return [{ key: `${key}.transfer.mode`, message }]
  }
  const from = Object.hasOwn(recipe.heads, transfer.from) ? recipe.heads[transfer.from] : undefined
  if (!from) {
    const message = `came "${transfer.from}", no head has this name; name a next-sentence head, or set ${key}.transfer.mode=none`
    return [{ key: `${key}.transfer.from`, message }]
  }
  if (from.kind !== 'next-sentence') {
    return [
      {
        key: `${key}.transfer.from`,
        message: `came "${transfer.from}", a head of kind ${from.kind}, expected a next-sentence head`,
      },
    ]
  }
  if (from.layer <= head.layer) return []
  const message = `hands over from layer ${from.layer} (heads.${transfer.from}.layer) down to layer ${head.layer} (${key}.layer), expected from a layer at or below it; lower heads.${transfer.from}.layer, or set ${key}.transfer.mode=none`
  return [{ key: `${key}.transfer`, message }]
}

function inputFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const problems: RecipeProblem[] = []
  const { inputs, masking, encoder } = recipe
  for (const [name, head] of Object.entries(recipe.heads)) {
    if (head.kind === 'next-sentence' && inputs.kind !== 'auto' && inputs.kind !== 'pairs') {
      problems.push({
        key: 'inputs.kind',
        message: `came "${inputs.kind}", expected "pairs" because heads.${name} predicts next sentences`,
      })
    }
    if (head.kind === 'bigram-shift' && inputs.kind === 'packed') {
      problems.push({
        key: 'inputs.kind',
        message: `came "packed", expected another kind because heads.${name} needs whole sentences; packed text is for masked LM alone`,
      })
    }
    if (
      head.kind === 'bigram-shift' &&
      head.level === 'sentence' &&
      head.read === 'cls' &&
      inputs.kind !== 'sentences'
    ) {
      problems.push({
        key: `heads.${name}.read`,
        message:
          'came "cls", expected "mean" unless inputs.kind is "sentences": an input of several sentences has one [CLS] but one label a sentence',
      })
    }
  }
  if (inputs.order !== 'shuffle' && inputs.kind !== 'packed') {
    problems.push({
      key: 'inputs.order',
      message: `came "${inputs.order}" with inputs.kind "${inputs.kind}", expected "packed" there, or shuffle: only packed text has another order`,
    })
  }
  if (masking.maskTokenShare + masking.randomTokenShare > 1 + 1e-9) {
    problems.push({
      key: 'masking.randomTokenShare',
      message: `came ${masking.randomTokenShare}, expected at most ${(1 - masking.maskTokenShare).toFixed(3)} = 1 - masking.maskTokenShare`,
    })
  }
  const batches = recipe.stages?.map(({ batch, sampler = recipe.sampler }, index) => {
    return { key: `stages.${index}.batch`, batch, sampler }
  }) ?? [{ key: 'batch', batch: recipe.batch, sampler: recipe.sampler }]
  for (const { key, batch, sampler } of batches) {
    if (batch.accumulationRamp > 0 && sampler.kind === 'shuffled') {
      problems.push({
        key: `${key}.accumulationRamp`,
        message: `came ${batch.accumulationRamp} with the sampler "shuffled", whose epochs have a fixed number of steps, expected 0 or another sampler`,
      })
    }
    if (batch.sequenceTokens > encoder.maxPositions) {
      problems.push({
        key: `${key}.sequenceTokens`,
        message: `came ${batch.sequenceTokens}, expected at most encoder.maxPositions = ${encoder.maxPositions}`,
      })
    }
    if (batch.accumulationRamp >= 1 && !Number.isInteger(batch.accumulationRamp)) {
      problems.push({
        key: `${key}.accumulationRamp`,
        message: `came ${batch.accumulationRamp}, expected a share of the budget below 1 or a whole number of batches`,
      })
    }
    if (batch.tokens < batch.sequenceTokens) {
      problems.push({
        key: `${key}.tokens`,
        message: `came ${batch.tokens}, expected at least ${key}.sequenceTokens = ${batch.sequenceTokens}`,
      })
    }
  }
  return problems
}

function budgetFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  if (recipe.stages && recipe.budget) {
    return [
      {
        key: 'budget',
        message:
          'stands beside stages, expected a budget in each stage only; remove it (budget=null) or remove the stages',
      },
    ]
  }
  const budgets = recipe.stages?.map((stage, index) => ({ key: `stages.${index}.budget`, budget: stage.budget })) ?? [
    { key: 'budget', budget: recipe.budget ?? {} },
  ]
  const problems: RecipeProblem[] = budgets.flatMap(({ key, budget }) => {
    const given = Object.entries(budget).filter(([, value]) => value !== undefined)
    if (given.length === 1) return []
    return [
      {
        key,
        message: `has ${given.length === 0 ? 'no limit' : given.map(([name]) => name).join(' and ')}, expected exactly one of steps, tokens, epochs, hours`,
      },
    ]
  })
  recipe.stages?.forEach((stage, index) => {
    for (const name of stage.heads ?? []) {
      if (!Object.hasOwn(recipe.heads, name) && !relationNames(recipe).includes(name)) {
        problems.push({
          key: `stages.${index}.heads`,
          message: `names "${name}", expected some of ${[...relationNames(recipe), ...Object.keys(recipe.heads)].join(', ')}`,
        })
      }
    }
  })
  return problems
}

function runFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const problems: RecipeProblem[] = []
  if (recipe.precision === 'fp16' && recipe.device === 'cpu') {
    problems.push({
      key: 'precision',
      message: 'came "fp16" with device "cpu", expected fp32 or bf16; fp16 needs CUDA',
    })
  }
  const watched = { 'checkpoint.best.metric': recipe.checkpoint.best, 'earlyStopping.metric': recipe.earlyStopping }
  const known = ['mean', 'sum', ...relationNames(recipe), ...Object.keys(recipe.heads), ...Object.keys(recipe.tasks)]
  for (const [key, score] of Object.entries(watched)) {
    if (!score || known.includes(score.metric.split('.')[0])) continue
    problems.push({
      key,
      message: `came "${score.metric}", expected <head>.<score> or <task>.<metric> with one of ${known.slice(2).join(', ')}, like mlm.loss or rte.accuracy, or mean or sum of all tasks`,
    })
  }
  return problems
}
