/** Names of what a run folder holds beside its checkpoints. */
export const METRICS_FILE = 'metrics.jsonl'
export const RESOLVED_RECIPE_FILE = 'recipe.resolved.json'
export const ENVIRONMENT_FILE = 'environment.json'
