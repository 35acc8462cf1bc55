import { nearest } from '../edit-distance.js'
import { StrataError } from '../errors.js'
import { bermo } from './bermo.js'
import { bertPretrain } from './bert-pretrain.js'
import { cramming } from './cramming.js'
import { dacbert } from './dacbert.js'
import { fineTune } from './fine-tune.js'
import { hierarchicalPretrain } from './hierarchical-pretrain.js'
import type { Values } from './merge.js'
import { mtDnn } from './mt-dnn.js'
import { pals } from './pals.js'
import { parser } from './parser.js'
import type { RecipeInput } from './schema.js'

/** A recipe of the package: a base and named sets of values over it. */
export interface NamedRecipe {
  name: string
  /** One line. */
  description: string
  /** Where the method comes from. */
  source: string
  base: RecipeInput
  /** `--set preset=NAME` lays these values over the base. */
  presets: Record<string, { description: string; values: Values }>
  defaultPreset: string
  /** Of a recipe that has nothing to learn without a task: data slots with a known one, to show its keys with. */
  exampleData?: Record<string, string>
}

/** The recipes of the package, as `stratabert recipes` lists them. */
export const namedRecipes: readonly NamedRecipe[] = [
  bertPretrain,
  hierarchicalPretrain,
  cramming,
  dacbert,
  fineTune,
  mtDnn,
  pals,
  bermo,
  parser,
]

export function findNamedRecipe(name: string): NamedRecipe | undefined {
  return namedRecipes.find((recipe) => recipe.name === name)
}

export function unknownRecipe(name: string): StrataError {
  const names = namedRecipes.map((recipe) => recipe.name)
  const near = nearest(name, names)
  return new StrataError(
    'BAD_RECIPE',
    `no recipe is named "${name}"${near ? `; did you mean "${near}"?` : ''} (recipes: ${names.join(', ')}; or give a .yaml, .json or .js file)`,
  )
}
