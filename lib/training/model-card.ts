/** README.md of a checkpoint: what the model is, what it was trained on and how well it does. */
import type { ModelConfig, PrunedWeights } from '../model/index.js'
import { shownMetric } from './metric-scale.js'
import { softwareVersions } from './run-environment.js'
import type { Stage, StageScores, TrainingState } from './types.js'

export interface CardText {
  /** Name of the recipe. */
  recipe?: string
  description?: string
  /** What the training text is and where it comes from. */
  data?: string
  license?: string
  /** Regressions whose head gives its labels divided by a number, by name. */
  divisors?: Record<string, number>
}

export function modelCard(
  config: ModelConfig,
  stage: Stage,
  state: TrainingState,
  scores: StageScores,
  text: CardText = {},
  pruned?: PrunedWeights,
): string {
  const { encoder, heads } = config
  const lines = ['---', 'library_name: stratabert', 'tags: [bert, pre-training, multi-task]']
  if (text.license) lines.push(`license: ${text.license}`)
  lines.push('---', '', `# ${text.recipe ?? 'BERT encoder'}, step ${state.step}`, '')
  if (text.description) lines.push(text.description, '')
  lines.push(
    `Encoder: ${encoder.layers} layers × ${encoder.hiddenSize}, ${encoder.heads} attention heads, vocabulary ${encoder.vocabSize}, up to ${encoder.maxPositions} positions.`,
    '',
    `Trained for ${state.step} steps on ${state.tokens.toLocaleString('en-US')} tokens (stage ${stage.name}, seed ${state.seed}, peak learning rate ${stage.optimizer.learningRate}).`,
    '',
  )
  if (text.data) lines.push(`Data: ${text.data}`, '')
  if (pruned) lines.push(prunedText(pruned), '')
  lines.push('## Heads', '', '| head | kind | layer | held-out loss | accuracy | labels |', '|---|---|---|---|---|---|')
  for (const head of heads) {
    const score = scores.heads[head.name]
    const figures = score ? `${score.loss.toFixed(4)} | ${score.accuracy.toFixed(4)} | ${score.count}` : '– | – | –'
    lines.push(`| ${head.name} | ${head.kind} | ${head.tap ? (head.tap.mix ?? head.tap.layer) : '–'} | ${figures} |`)
  }
  const rows = Object.entries(scores.tasks).flatMap(([task, splits]) =>
    Object.entries(splits).flatMap(([split, { metrics, count }]) =>
      Object.entries(metrics).map(
        ([metric, value]) => `| ${task} | ${split} | ${metric} | ${shownMetric(metric, value)} | ${count} |`,
      ),
    ),
  )
  if (rows.length > 0) {
    lines.push(
      '',
      '## Tasks',
      '',
      '| task | split | metric | score × 100 | examples |',
      '|---|---|---|---|---|',
      ...rows,
    )
  }
  const versions = Object.entries(softwareVersions()).map(([name, version]) => `${name} ${version}`)
  const isBert = encoder.kind === 'bert' && !config.agreements
  lines.push(
    '',
    '## Use',
    '',
    isBert
      ? "The encoder opens in Hugging Face transformers: `AutoModel.from_pretrained('<this folder>')`."
      : `Hugging Face transformers has no such encoder (${encoder.kind}${config.agreements ? ' with agreements' : ''}): it opens in stratabert alone.`,
    "Heads and their layers stand in `stratabert.json`; `loadModel('<this folder>')` of stratabert opens them all.",
  )
  for (const [task, divisor] of Object.entries(text.divisors ?? {})) {
    lines.push(
      `The head of ${task} gives its labels divided by ${divisor} (\`regression_divisor\`); stratabert multiplies them again, other programs have to.`,
    )
  }
  lines.push('', `Written by ${versions.join(', ')}.`, '')
  return lines.join('\n')
}

function prunedText({ method, density, parameters, nonZeroParameters }: PrunedWeights): string {
  const [of, kept] = [parameters, nonZeroParameters].map((count) => count.toLocaleString('en-US'))
  return `Pruned by ${method}: ${percent(density)} % of the weights of the blocks' linear layers are not 0; ${kept} of ${of} parameters in all. Zeros are stored like other numbers.`
}

const percent = (value: number): string => (100 * value).toFixed(2)
