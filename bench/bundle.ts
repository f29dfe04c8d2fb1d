// Bundles the benchmark as the program itself is bundled.

import { bundle } from '../transform/bundle.ts';

await bundle({ entryPoints: ['bench/main.ts'], outfile: 'dist/bench.js', packages: 'external' });
