/** Methods as recipes: the schema, the named ones, and their execution. The only door of this room. */

export { nearest } from '../edit-distance.js'
export { relationNames } from './agreements-of-recipe.js'
export { type AnalyzeLayersOptions, analyzeLayers, type CkaReading, type LayerAnalysis } from './analyze-layers.js'
export {
  type EvaluateCheckpointOptions,
  type EvaluationReport,
  evaluateCheckpoint,
  type Prediction,
} from './evaluate-checkpoint.js'
export { evaluatedFiles } from './evaluate-tasks.js'
export type { EvaluatedText } from './evaluate-text.js'
export { alignedTable, attachmentTable, type HeldOutRow, heldOutRows, heldOutTable } from './held-out-table.js'
export { layerPage, layerTable } from './layer-tables.js'
export { describeLeftOut } from './left-out.js'
export { loadRecipe, loadSettingsFile, parseRecipeText } from './load-recipe.js'
export { isOtherKind, isValues, mergeValues, setAt, type Values } from './merge.js'
export { modelConfigOf, type TaskShape } from './model-of-recipe.js'
export { findNamedRecipe, type NamedRecipe, namedRecipes } from './named-recipes.js'
export { type OpenRecipeOptions, openRecipe } from './open-recipe.js'
export { recipeSource, type SourceOptions } from './pretraining-sources.js'
export { probeCheckpoint } from './probe-checkpoint.js'
export { penaltyOf, searchesPenalty } from './pruning-of-recipe.js'
export { pruningTable } from './pruning-table.js'
export { type Locate, type RecipeProblem, recipeError, schemaProblems } from './recipe-problems.js'
export { stagesOf } from './recipe-stages.js'
export { openRecipeTasks, shapesWithoutData, taskDefinition } from './recipe-tasks.js'
export { type ResolvedHead, type ResolvedRecipe, type ResolvedStage, resolveRecipe } from './resolve-recipe.js'
export { type OpenDataOptions, openRunData, type RunData } from './run-data.js'
export { runtimeChoice } from './run-model.js'
export {
  type DataCounts,
  memoryWithoutData,
  type ParameterPlan,
  parameterCount,
  planRun,
  type RunPlan,
  type StagePlan,
  type StageSpeeds,
  type TaskPlan,
} from './run-plan.js'
export { type RunRecipeOptions, type RunResult, runRecipe, TOKENIZER_FOLDER } from './run-recipe.js'
export { expandFiles, type RunText } from './run-text.js'
export { defineRecipe, type RecipeInput, recipeSchema, type TaskSlot } from './schema.js'
export { overlayOfSetOptions } from './set-option.js'
export { agreementTable, type ShownAgreements, showAgreements } from './show-agreements.js'
export { taskTable } from './task-table.js'
