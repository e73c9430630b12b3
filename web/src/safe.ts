// Runs before everything else: names of layers become keys of objects in the library that draws, and one may be "__proto__".
delete (Object.prototype as { __proto__?: unknown }).__proto__;
