// Every method of Ollama's own JavaScript client, against the server; prints what each of them got, as JSON.
import {Ollama} from "ollama"

const client = new Ollama({host: "http://127.0.0.1:8000"})
const model = "script"
const messages = [{role: "user", content: "hi"}]
const parameters = {type: "object", properties: {city: {type: "string"}}, required: ["city"]}
const tools = [{type: "function", function: {name: "weather", description: "Tells the weather", parameters}}]
const got = {}

async function all(stream) {
  const parts = []
  for await (const part of stream) parts.push(part)
  return parts
}

async function refused(promise) {
  try {
    return {answered: await promise}
  } catch (error) {
    return {status: error.status_code, message: error.message}
  }
}

got.chat = await client.chat({model, messages})
got.chatParts = await all(await client.chat({model, messages, stream: true}))
got.call = await client.chat({model, messages: [{role: "user", content: "weather?"}], tools})
got.printed = await client.chat({model, messages: [{role: "user", content: "printed?"}], tools})
got.thinking = await client.chat({model, messages: [{role: "user", content: "think!"}], think: true})
got.generate = await client.generate({model, prompt: "hi"})
got.generateParts = await all(await client.generate({model, prompt: "hi", stream: true}))
got.infill = await client.generate({model, prompt: "def a(", suffix: "return 1"})
got.embed = await client.embed({model, input: ["one", "two"]})
got.embeddings = await client.embeddings({model, prompt: "one"})
got.list = await client.list()
got.show = await client.show({model})
got.ps = await client.ps()
got.version = await client.version()
got.copy = await client.copy({source: model, destination: "mine"})
got.copied = (await client.list()).models.map((each) => each.name)
got.delete = await client.delete({model: "mine"})
got.deleted = (await client.list()).models.map((each) => each.name)
got.create = await client.create({model: "short", from: model, system: "Be short."})
got.created = await client.show({model: "short"})
got.pull = await client.pull({model})
got.pullParts = await all(await client.pull({model, stream: true}))
got.unknown = await refused(client.chat({model: "scrpt", messages}))
got.push = await refused(client.push({model}))

const slow = await client.chat({model, messages: [{role: "user", content: "slowly!"}], stream: true})
got.heard = []
try {
  for await (const part of slow) {
    got.heard.push(part.message.content)
    client.abort()
  }
} catch (error) {
  got.aborted = error.name
}
console.log(JSON.stringify(got))
