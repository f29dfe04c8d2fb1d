// Loads host code through the transform: production sources in, a module whose host code is preempted before each access out.
// For tests and the build; it needs the compiler and the bundler, which normal runs do not.

import { build, type Plugin } from 'esbuild';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import type { Site } from '../src/explore/preemptible.ts';
import { CellTransform } from './cellTransform.ts';

const ROOT = resolve(import.meta.dirname, '..');
const RUNTIME = join(ROOT, 'src/explore/preemptible.ts');
const HOST_CODE = ['src/host/', 'src/hypervisor/'].map((folder) => join(ROOT, folder));

/** A change to the source, to see whether a test would notice. */
export interface Mutation {
  /** From the root of the project: `src/hypervisor/run.ts`. */
  readonly file: string;
  /** What is replaced; it must be there exactly once. */
  readonly from: RegExp;
  /** By what, as in String.replace. */
  readonly to: string;
}

/** Host code as it is and as it can be preempted; files by their absolute path. */
export interface TransformedHostCode {
  readonly sources: ReadonlyMap<string, string>;
  readonly texts: ReadonlyMap<string, string>;
  readonly sites: readonly Site[];
  /** What cannot be preempted, as `file:line: why`. */
  readonly refusals: readonly string[];
}

export interface TransformOptions {
  readonly mutation?: Mutation;
  /** The files to transform, from the root of the project; default: all of src/host and src/hypervisor. */
  readonly files?: readonly string[];
  /** Announce every mutable field, declared a cell or not: who shares one that is no cell? */
  readonly audit?: boolean;
}

const hostFiles = (): string[] => HOST_CODE.flatMap((folder) => ts.sys.readDirectory(folder, ['.ts']));

export function transformHostCode({
  mutation,
  files: chosen,
  audit = false,
}: TransformOptions = {}): TransformedHostCode {
  const wanted = new Set(chosen?.map((file) => join(ROOT, file)) ?? hostFiles());
  const program = programOf([...wanted], mutation);
  const includes = (file: string): boolean => wanted.has(file);
  const fileName = (path: string): string => relative(ROOT, path);
  const transform = new CellTransform({ program, includes, runtime: RUNTIME, fileName, audit });
  const files = program.getSourceFiles().filter((file) => includes(file.fileName));
  return {
    sources: new Map(files.map((file) => [file.fileName, file.text])),
    texts: new Map(files.map((file) => [file.fileName, transform.emit(file.fileName)])),
    sites: transform.sites,
    refusals: transform.refusals,
  };
}

/** Parsed files, which the programs of several mutations share. */
const parsed = new Map<string, ts.SourceFile | undefined>();

function programOf(files: readonly string[], mutation: Mutation | undefined): ts.Program {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  // Host code knows nothing of Node, whose types take as long to read as all of ours.
  const options = {
    ...ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT).options,
    types: [],
    lib: ['lib.es2023.d.ts'],
  };
  const host = ts.createCompilerHost(options, true);
  const { getSourceFile } = host;
  const mutated = mutation && join(ROOT, mutation.file);
  host.getSourceFile = (path, version) => {
    if (resolve(path) === mutated)
      return ts.createSourceFile(path, mutate(ts.sys.readFile(path)!, mutation!), version, true);
    if (!parsed.has(path)) parsed.set(path, getSourceFile(path, version));
    return parsed.get(path);
  };
  return ts.createProgram(files, options, host);
}

function mutate(text: string, { file, from, to }: Mutation): string {
  const found = [...text.matchAll(new RegExp(from, `${from.flags}g`))].length;
  if (found !== 1) throw new Error(`the mutation of ${file} finds ${from} ${found} times, not once`);
  return text.replace(from, to);
}

/** The plug-in for a bundle whose host code can be preempted. */
export function preemptibleHostCode({ texts, refusals }: TransformedHostCode): Plugin {
  if (refusals.length > 0) throw new Error(`host code that cannot be preempted:\n${refusals.join('\n')}`);
  return {
    name: 'preemptible host code',
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const contents = texts.get(path);
        return contents === undefined ? undefined : { contents, loader: 'ts' };
      });
    },
  };
}

/**
 * Imports a module of ours, named from the root of the project, with everything that it imports. It has instances of its own of all
 * modules: what drives preemptions (src/explore) must come from it, too.
 */
export async function loadPreemptible<T>(entry: string, code: TransformedHostCode): Promise<T> {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, entry)],
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'inline',
    write: false,
    plugins: [preemptibleHostCode(code)],
  });
  const folder = mkdtempSync(join(tmpdir(), 'preemptible-'));
  try {
    const bundle = join(folder, 'bundle.mjs');
    writeFileSync(bundle, outputFiles[0]!.text);
    return (await import(/* @vite-ignore */ pathToFileURL(bundle).href)) as T;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
