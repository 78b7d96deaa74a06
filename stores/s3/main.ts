export type { ObjectHeaders } from './bucket.js'
export { S3ByteStore, type S3ByteStoreOptions } from './byte-store.js'
export { type S3Settings, s3Client } from './client.js'
