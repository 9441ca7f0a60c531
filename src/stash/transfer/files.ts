/**
 * What moving files in and out of a stash needs of the system, call by call. Names are bytes and never paths. Nothing
 * below an open folder is reached through a symbolic link.
 *
 * Every method rejects with a `StashIOError` that names the path in the caller's words.
 * Must not import `node:` or anything else.
 */

/** What a name stands for. */
export type NameKind = 'file' | 'folder' | 'link' | 'other';

/** An open folder, which stays the same one if its path comes to lead elsewhere, where the system can do that. */
export interface Folder {
  /** Its path in messages. */
  readonly path: string;
  /** Returns the path of what has that name, in messages. */
  shown(name: Uint8Array): string;
  /** Returns the path of what has that name, for the system, while the folder is open. */
  locate(name: Uint8Array): Uint8Array;
  names(): Promise<Uint8Array[]>;
  /** Returns what the name itself stands for, `undefined` if there is nothing. */
  kind(name: Uint8Array): Promise<NameKind | undefined>;
  /**
   * Returns the contents of a regular file, the caller's to wipe.
   * @throws {StashIOError} `not-a-file`, `symbolic-link`, or `contended` if it changes all the time.
   * @throws {StashValueError} `store-too-large`.
   */
  read(name: Uint8Array, maxByteLength: number): Promise<Uint8Array>;
  /**
   * Makes a file of mode 0600 and waits until its contents are on the disk. After an error there is none.
   * @throws {StashIOError} `already-exists` if the name is there, be it a symbolic link.
   */
  create(name: Uint8Array, bytes: Uint8Array): Promise<void>;
  /**
   * Makes an empty file of mode 0600, to be replaced.
   * @throws {StashIOError} `already-exists` if the name is there, be it a symbolic link.
   */
  claim(name: Uint8Array): Promise<void>;
  /**
   * Makes a folder of mode 0700.
   * @throws {StashIOError} `already-exists` if the name is there, be it a symbolic link.
   */
  makeFolder(name: Uint8Array): Promise<void>;
  /**
   * Opens a folder.
   * @param shownPath - Its path in messages, if not below that of this one.
   * @throws {StashIOError} `symbolic-link` or `not-a-folder`.
   */
  open(name: Uint8Array, shownPath?: string): Promise<Folder>;
  /** Moves a name to what `locate` of another folder returned: a file over a file, a folder over an empty folder. */
  rename(name: Uint8Array, to: Uint8Array): Promise<void>;
  remove(name: Uint8Array): Promise<void>;
  removeFolder(name: Uint8Array): Promise<void>;
  /** Waits until the names are on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The calls that take paths of the caller. Symbolic links in these are followed. */
export interface Files {
  /** Whether names have to be such as Windows knows. */
  readonly forWindows: boolean;
  /** Opens a folder; `undefined` if the path leads nowhere. */
  openFolder(path: string): Promise<Folder | undefined>;
  /** Opens the folder that a path's last name is in. That name itself is not looked at. */
  openParent(path: string): Promise<{ folder: Folder; name: Uint8Array }>;
  /** Returns the contents of a regular file, as {@link Folder.read} does. */
  readFile(path: string, maxByteLength: number): Promise<Uint8Array>;
}
