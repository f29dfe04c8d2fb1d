import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Two cores are the floor: tests that compile a program or check the types of the whole project need their time there.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
