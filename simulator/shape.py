"""What all request shapes share: strict JSON types, as a deserialiser into typed structs has them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

Int = Annotated[int, Strict(), Field(ge=0, le=2**63 - 1)]
SignedInt = Annotated[int, Strict(), Field(ge=-(2**63), le=2**63 - 1)]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]


class Shape(BaseModel):
    """Unknown keys are dropped, as the venue's own deserialiser does."""

    model_config = ConfigDict(frozen=True, extra="ignore")
