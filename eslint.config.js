// The linter holds the architecture: the core floors touch neither Node nor clocks nor randomness, and no floor imports
// from one above it (docs/architecture.md). test/architecture/floors.test.ts checks the same import graph as a whole.

import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Folders of src by floor, lowest first; those of one floor may import each other. */
const FLOORS = [
  ['wasm'],
  ['x86'],
  ['cpu'],
  ['host'],
  ['hypervisor'],
  ['vmm'],
  ['lab', 'explore'],
  ['cli', 'web', 'testing', 'assembler'],
];
const CORE = FLOORS.slice(0, 7).flat();

const ambient = [
  { name: 'Date', message: 'The core has no clock but the machine’s own.' },
  { name: 'performance', message: 'The core has no clock but the machine’s own.' },
  { name: 'console', message: 'The core prints nothing: fire a probe or return data.' },
  { name: 'process', message: 'The core runs in a browser too.' },
  { name: 'Buffer', message: 'The core runs in a browser too.' },
];

const floorRules = FLOORS.flatMap((folders, floor) => {
  const above = FLOORS.slice(floor + 1).flat();
  if (above.length === 0) return [];
  return folders.map((folder) => ({
    files: [`src/${folder}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: ['node:*'], message: 'The core runs in a browser too.' },
            { group: above.map((name) => `**/${name}/**`), message: `src/${folder} may only look down.` },
          ],
        },
      ],
    },
  }));
});

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'coverage'] },
  eslint.configs.recommended,
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportAllDeclaration', message: 'Name what is exported.' },
        { selector: 'ExportDefaultDeclaration', message: 'Export by name.' },
      ],
      eqeqeq: 'error',
    },
  },
  { files: ['*.config.js', '*.config.ts'], rules: { 'no-restricted-syntax': 'off' } },
  {
    files: [...CORE, 'trace'].map((folder) => `src/${folder}/**/*.ts`),
    rules: {
      'no-restricted-globals': ['error', ...ambient],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Randomness comes from the machine’s seed.' },
      ],
    },
  },
  { files: ['src/trace/**/*.ts'], rules: { 'no-restricted-imports': ['error', { patterns: ['node:*'] }] } },
  ...floorRules,
);
