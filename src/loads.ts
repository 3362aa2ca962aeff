// Asked by node-gyp-build when the package is installed: whether an addon that is here loads. By itself
// it would look for the prebuild of musl where a marker file of Alpine's is, and nowhere else.
import { native } from './native.js';

native();
