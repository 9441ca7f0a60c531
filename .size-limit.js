/**
 * A budget for each entry: bundled with all it imports but Node's own modules, minified and gzipped.
 */

/** @param {import('esbuild').BuildOptions} options */
const withoutNode = (options) => ({ ...options, format: 'esm', platform: 'neutral', external: ['node:*'] });

/**
 * @param {string} name
 * @param {string} folder
 * @param {string} limit
 */
const entry = (name, folder, limit) => ({
  name,
  path: `dist/${folder}/index.js`,
  modifyEsbuildConfig: withoutNode,
  gzip: true,
  limit,
});

export default [
  {
    ...entry('unmarshal of secretbus/wire', 'wire', '4.5 kB'),
    import: '{ unmarshal }',
  },
  { ...entry('codec of secretbus/wire', 'wire', '7 kB'), import: '{ marshal, unmarshal, Variant }' },
  {
    ...entry('client of secretbus/wire', 'wire', '24 kB'),
    import: '{ openBus, sessionBus, systemBus, Variant }',
  },
  entry('secretbus/wire', 'wire', '44 kB'),
  entry('secretbus/secret', 'secret', '46.5 kB'),
  { ...entry('Stash of secretbus/stash', 'stash', '48.5 kB'), import: '{ Stash }' },
  { ...entry('SecureStash of secretbus/stash', 'stash', '36 kB'), import: '{ SecureStash }' },
  // A quarter of it is what only runtimes without some hash function or derivation load.
  entry('secretbus/stash', 'stash', '61.5 kB'),
  entry('secretbus', 'keyring', '78 kB'),
];
