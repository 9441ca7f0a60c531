/** Joins its input and output to a socket: the program of a `unixexec:` address. */
import { connect } from 'node:net';

const socket = connect(/** @type {string} */ (process.argv[2]));
process.stdin.pipe(socket).pipe(process.stdout);
