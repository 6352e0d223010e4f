/** Encodes a graph as a SavedModel, with the protobuf classes that tfjs-node brings. */
import { requireHere } from "./binding.ts";
import type { AttributeValue, GraphNode } from "./graph-node.ts";

/** TensorFlow's graph version that the nodes are written for. */
const producer = 1395;

// The classes are generated JavaScript without types of their own; these are the setters that are called.
interface Message {
  serializeBinary(): Uint8Array;
}
type Setters = Message & Record<string, (value?: unknown) => unknown>;
interface Protobuf {
  readonly [name: string]: (new () => Setters) & Record<string, new () => Setters>;
}
const pb = requireHere("@tensorflow/tfjs-node-gpu/dist/proto/api_pb.js") as Protobuf;

function make(name: string, inner?: string): Setters {
  const outer = pb[name];
  const Class = inner === undefined ? outer : outer?.[inner];
  if (Class === undefined)
    throw new Error(`Cannot write a SavedModel: api_pb.js lacks ${name} ${inner ?? ""}`);
  return new Class();
}

function call(message: Setters, setter: string, value: unknown): Setters {
  const method = message[setter];
  if (method === undefined) throw new Error(`Cannot write a SavedModel: api_pb.js lacks ${setter}`);
  method.call(message, value);
  return message;
}

function shapeMessage(shape: readonly number[]): Setters {
  const dimensions = shape.map((size) => call(make("TensorShape", "Dim"), "setSize", size));
  return call(make("TensorShape"), "setDimList", dimensions);
}

function attributeMessage(value: AttributeValue): Setters {
  const message = make("AttrValue");
  switch (value.kind) {
    case "type":
      return call(message, "setType", value.type);
    case "int":
      return call(message, "setI", value.int);
    case "float":
      return call(message, "setF", value.float);
    case "bool":
      return call(message, "setB", value.bool);
    case "string":
      return call(message, "setS", Buffer.from(value.string));
    case "shape":
      return call(message, "setShape", shapeMessage(value.shape));
    case "ints":
      return call(
        message,
        "setList",
        call(make("AttrValue", "ListValue"), "setIList", [...value.ints]),
      );
    case "tensor": {
      const tensor = call(make("Tensor"), "setDtype", value.dtype);
      call(tensor, "setTensorShape", shapeMessage(value.shape));
      return call(message, "setTensor", call(tensor, "setTensorContent", value.bytes));
    }
  }
}

function nodeMessage(node: GraphNode): Setters {
  const message = call(call(make("NodeDef"), "setName", node.name), "setOp", node.op);
  call(message, "setInputList", [...node.inputs]);
  const map = message["getAttrMap"]?.() as { set(key: string, value: Setters): void };
  for (const [key, value] of Object.entries(node.attributes)) map.set(key, attributeMessage(value));
  return message;
}

/** The bytes of `saved_model.pb` for a graph. */
export function encodeSavedModel(
  nodes: readonly GraphNode[],
  tensorflowVersion: string,
): Uint8Array {
  const graph = call(make("GraphDef"), "setNodeList", nodes.map(nodeMessage));
  call(graph, "setVersions", call(make("VersionDef"), "setProducer", producer));
  const info = call(make("MetaGraphDef", "MetaInfoDef"), "setTensorflowVersion", tensorflowVersion);
  call(info, "addTags", "serve");
  const meta = call(call(make("MetaGraphDef"), "setMetaInfoDef", info), "setGraphDef", graph);
  const model = call(make("SavedModel"), "setSavedModelSchemaVersion", 1);
  return call(model, "setMetaGraphsList", [meta]).serializeBinary();
}
