// Builds js/dist. With the argument `test`, it also builds the tests and runs
// them.
import { spawnSync } from 'node:child_process'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { minify } from 'terser'

process.chdir(fileURLToPath(new URL('.', import.meta.url)))

/**
 * Members of objects that never leave the bundle. Only our own modules use
 * them, and never in quotes, so the build can shorten them.
 */
const inner = new RegExp(
  '^(action|allowed|authorization|calls|cost|current|delay|failover|failures|forget|lock|memo|moved|notBefore|outcomes|own|' +
    'answer|client|keep|move|queue|reject|start|take|wait|pacer|parted|pick|policy|readyURL|saved|seen|sender|stored|trouble|' +
    'until|whom|wipe|add|remove|last|end|why|place|held|learn|ready|ask|attempt|failed|use|stopped)$',
)

const common = { bundle: true, format: 'esm', target: 'es2022', sourcemap: true, logLevel: 'warning', legalComments: 'none' }

rmSync('dist', { recursive: true, force: true })
await build({ ...common, entryPoints: ['src/browser.ts'], outdir: 'dist', minify: true, mangleProps: inner })
// Terser removes another 5 % of the bundle after esbuild.
const { code, map } = await minify(readFileSync('dist/browser.js', 'utf8'), {
  module: true,
  compress: { passes: 3, ecma: 2022, unsafe_arrows: true, inline: 1 },
  sourceMap: { content: readFileSync('dist/browser.js.map', 'utf8'), url: 'browser.js.map' },
})
writeFileSync('dist/browser.js', code)
writeFileSync('dist/browser.js.map', map)
await build({ ...common, entryPoints: ['src/node.ts'], outdir: 'dist', platform: 'node' })
run('node_modules/.bin/tsc', '--project', 'tsconfig.build.json')
// Keeps only the declarations that a user's compiler follows.
const shown = ['browser', 'node', 'types'].map((name) => name + '.d.ts')
for (const name of await readdir('dist')) if (name.endsWith('.d.ts') && !shown.includes(name)) rmSync('dist/' + name)
copyFileSync('../LICENSE', 'LICENSE')
run('node_modules/.bin/tsc', '--project', 'tsconfig.json')

if (process.argv[2] === 'test') {
  // Once, since the files of tests run side by side.
  run('go', 'build', '-o', '../bin/trackway-js-test', '../cmd/trackway')
  rmSync('.test', { recursive: true, force: true })
  const tests = (await readdir('test')).filter((name) => name.endsWith('.test.ts'))
  await build({ ...common, entryPoints: tests.map((name) => 'test/' + name), outdir: '.test', platform: 'node', packages: 'external' })
  // The limit applies to a whole file: on a busy machine, it can take several
  // times the usual half a minute.
  const options = ['--enable-source-maps', '--test', '--test-reporter=spec', '--test-timeout=900000', ...process.argv.slice(3)]
  run(process.execPath, ...options, ...tests.map((name) => '.test/' + name.replace(/ts$/, 'js')))
}

/** Runs a program, and ends as it does if it fails. */
function run(program, ...args) {
  const { status } = spawnSync(program, args, { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
