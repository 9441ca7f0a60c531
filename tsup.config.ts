import { defineConfig } from 'tsup';

// One output file a source file: bundling a pure codec function must not pull in a socket.
export default defineConfig({
  entry: ['src/**/*.ts'],
  format: ['esm'],
  target: 'es2023',
  platform: 'node',
  outDir: 'dist',
  bundle: false,
  dts: false,
  clean: true,
  sourcemap: false,
  removeNodeProtocol: false,
  silent: true,
});
