/** A CommonJS program that loads every entry by require(); writes one line of JSON to standard output. */
const entries = ['secretbus', 'secretbus/wire', 'secretbus/secret', 'secretbus/stash'];
const { marshal } = require('secretbus/wire');
console.log(
  JSON.stringify({
    empty: entries.filter((entry) => Object.keys(require(entry)).length === 0),
    marshalled: [...marshal('ys', [1, 'A'])],
  }),
);
