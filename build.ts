// Builds dist/: the command line and the library as bundles, and the type declarations.
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { bundle } from './transform/bundle.ts';

const entryPoints = { cli: 'src/cli/main.ts', index: 'src/index.ts', testing: 'src/testing/index.ts' };

// Chunks are named after their contents: those of earlier builds would stay for ever.
for (const file of readdirSync('.').includes('dist') ? readdirSync('dist') : []) {
  if (file.endsWith('.js')) rmSync(`dist/${file}`);
}

await bundle({
  entryPoints,
  outdir: 'dist',
  splitting: true,
  target: 'node20',
  // Keystone is GPLv2: it stays a dependency of its own, loaded only when something is assembled (NOTICE).
  external: ['keystone-wasm', 'vitest'],
});
execFileSync('npx', ['tsc', '-p', 'tsconfig.types.json'], { stdio: 'inherit' });
