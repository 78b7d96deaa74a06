import { setFlagsFromString } from 'node:v8'

/**
 * V8 takes the bytes that arrive, 64 KiB at a time in memory of their own, for a growth of its heap, and looks through all
 * of that once it seems to have grown by half: with 15 MB alive, after each 25 MB that came. Such a look takes 10 to 30 ms,
 * and while one is under way each further piece pays for some of it. Where it counts growth by 300 per cent instead, young
 * collections of 1 ms free those bytes in time. Measured with 8 parallel parts of 128 MiB on a busy machine: 0.6 s of the
 * processor in user mode instead of 1.7, and a quarter less time in all. It costs no memory, as what is alive stays small.
 */
export function letHeapGrow(): void {
  setFlagsFromString('--heap-growing-percent=300')
}
