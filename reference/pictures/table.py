"""How the table of labelled axes drives everything that is done with a model."""

from reference.pictures.drawing import LINE_HEIGHT, Drawing

ROWS = (
    ("model.embed_tokens.weight", "vocab", "hidden", "embedding"),
    ("….{layer}.q_proj.weight", "heads*query_dim", "hidden", "linear"),
    ("….{layer}.k_proj.weight", "kv_heads*head_dim", "hidden", "linear"),
    ("….{layer}.o_proj.weight", "hidden", "heads*head_dim", "linear"),
    ("….{layer}.gate_proj.weight", "intermediate", "hidden", "linear"),
    ("….{layer}.input_layernorm.weight", "hidden", "", "norm gain"),
    ("lm_head.weight", "vocab", "hidden", "readout"),
)
USES = (
    ("plan", "names, shapes, bytes,", "FLOPs, shards, refusals"),
    ("expand", "W' = E (Σ D W) Cᵀ for each", "row, one tensor in memory"),
    ("fit", "LiGO's learned maps,", "on a stock module"),
    ("muP", "rate, decay and epsilon", "of each: training.json"),
    ("optimizer state", "AdamW's moments, by the", "roles' duals"),
    ("checks", "the header against rows", "times sizes"),
)
LEFT, ROW_HEIGHT = 300, 27


def table() -> Drawing:
    drawing = Drawing(990, 500, "The table of labelled axes and what is made of it")
    drawing.box(20, 70, 190, 66, "config.json", "sizes, under the family's", "own keys")
    drawing.box(20, 196, 190, 66, "request", "sizes of the target,", "method")
    drawing.box(LEFT - 30, 30, 700, 262, kind="strong")
    drawing.text(LEFT, 54, "One family's table: what each dimension of each tensor means", kind="title")
    for x, heading in ((LEFT, "tensor"), (LEFT + 250, "produces"), (LEFT + 400, "reads"), (LEFT + 540, "role")):
        drawing.text(x, 82, heading, kind="soft")
    for number, (name, out, read, role) in enumerate(ROWS):
        y = 108 + ROW_HEIGHT * number
        drawing.line((LEFT - 8, y - 18), (LEFT + 648, y - 18), kind="thin")
        for x, cell in ((LEFT, name), (LEFT + 250, out), (LEFT + 400, read), (LEFT + 540, role)):
            drawing.text(x, y, f"`{cell}`" if cell and cell != role else cell)
    drawing.arrow((210, 103), (LEFT - 30, 103), label="sizes", at=(238, 97))
    drawing.arrow((85, 262), (85, 330))
    drawing.box(
        20, 330, 190, 140, "operator", "for each axis a pair of", "maps, E and C, T × S;", "over layers a matrix D.",
        "A method fills them in", "and knows no family.", kind="strong",
    )  # fmt: skip
    drawing.arrow((LEFT - 30, 276), (165, 276), (165, 330), label="axes", at=(240, 270))
    width = 212
    drawing.frame(LEFT - 30, 320, 700, 162)
    drawing.arrow((LEFT + 320, 292), (LEFT + 320, 320), label="rows", at=(LEFT + 344, 311))
    for number, (title, *lines) in enumerate(USES):
        column, row = number % 3, number // 3
        x, y = LEFT - 18 + column * (width + 20), 332 + row * 74
        drawing.box(x, y, width, 21 + LINE_HEIGHT * 2 + 9, title, *lines)
    drawing.arrow((210, 400), (LEFT - 30, 400))
    return drawing
