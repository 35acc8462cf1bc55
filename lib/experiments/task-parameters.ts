/** Trained parameters by task, from a run's recipe; what its log counted must come out, or nothing is said. */
import { join } from 'node:path'
import { modelParameterShapes, type ParameterInfo } from '../model/index.js'
import { modelConfigOf, type ResolvedStage, shapesWithoutData, stagesOf, TOKENIZER_FOLDER } from '../recipes/index.js'
import { Tokenizer } from '../text/index.js'
import { trainedNames } from '../training/index.js'
import type { TrainJob } from './plan.js'

export interface TaskParameters {
  /** That the last stage with the task trains for it. */
  trained: number
  /** Those of them that no other task of that stage trains. */
  own: number
}

/** Of a run with several labelled tasks; undefined when there are fewer or the counts cannot be told without the data. */
export async function taskParameters(
  { recipe, folder }: TrainJob,
  logged: { parameters: number; trainable: number },
): Promise<Record<string, TaskParameters> | undefined> {
  const names = Object.keys(recipe.tasks)
  if (names.length < 2) return undefined
  const tokenizer = await Tokenizer.load(join(folder, TOKENIZER_FOLDER)).catch(() => undefined)
  if (!tokenizer) return undefined
  const config = modelConfigOf(recipe, tokenizer.vocabSize, shapesWithoutData(recipe, []))
  const parameters = parametersOf(modelParameterShapes(config), config.encoder.layers)
  const model = { config, parameters: () => parameters }
  const sizes = new Map(parameters.map(({ name, shape }) => [name, shape.reduce((a, b) => a * b, 1)]))
  const count = (of: Iterable<string>) => [...of].reduce((total, name) => total + sizes.get(name)!, 0)

  const stages = stagesOf(recipe)
  const adapterOf = (task: string) => (recipe.adapter && recipe.tasks[task].adapter ? task : undefined)
  /** What a stage trains for some of its tasks, the self-supervised heads being one of them. */
  const trainedFor = ({ heads, tasks, freeze, train }: ResolvedStage, only: (task: string | undefined) => boolean) => {
    const labelled = tasks.filter(only).map((task) => ({ heads: [task], adapter: adapterOf(task) }))
    const joint = heads.length > 0 && only(undefined) ? [{ heads, adapter: undefined }] : []
    const parts = [...joint, ...labelled]
    return new Set(parts.length > 0 ? trainedNames(model, { tasks: parts, freeze, train }) : [])
  }
  const all = new Set(stages.flatMap((stage) => [...trainedFor(stage, () => true)]))
  if (count(sizes.keys()) !== logged.parameters || count(all) !== logged.trainable) return undefined

  return Object.fromEntries(
    names.flatMap((name) => {
      const last = stages.findLast(({ tasks }) => tasks.includes(name))
      if (!last) return []
      const trained = trainedFor(last, (task) => task === name)
      const others = trainedFor(last, (task) => task !== name)
      const own = [...trained].filter((parameter) => !others.has(parameter))
      return [[name, { trained: count(trained), own: count(own) }]]
    }),
  )
}

/** A parameter's layer stands in its name: embeddings 0, block n + 1, all else above the blocks. */
function parametersOf(shapes: Record<string, number[]>, layers: number): ParameterInfo[] {
  return Object.entries(shapes).map(([name, shape]) => {
    const block = /^(?:bert\.encoder|adapters\.[^.]+)\.layer\.(\d+)\./.exec(name)
    const layer = block ? Number(block[1]) + 1 : name.startsWith('bert.embeddings.') ? 0 : layers + 1
    return { name, shape, layer, decays: true }
  })
}
