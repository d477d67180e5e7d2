"""The result nodes of an exam: found by their kind, made when absent, gathered in a folder."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk

from ..errors import InputError

EXAM_ROLE = "IITH.exam"
KIND_ATTRIBUTE = "IITH.kind"
FOLDER_EXAM_ATTRIBUTE = "IITH.exam"


class ExamResults:
    """The result nodes of one exam, each found by its kind ("map.ser", "table.volumes"), made when absent.

    Raises InputError when there is no exam node.
    """

    def __init__(self, exam_nodes: Sequence) -> None:
        self.exam_nodes = tuple(node for node in exam_nodes if node is not None)
        if not self.exam_nodes:
            raise InputError("No DCE exam is selected; select a sequence, or the volumes of its phases.")
        self.scene = self.exam_nodes[0].GetScene()
        if self.scene is None or any(node.GetScene() is None for node in self.exam_nodes):
            raise InputError("The exam is no longer in the scene; load it again.")

    @classmethod
    def of(cls, result) -> ExamResults:
        """The results that a result node belongs to; InputError when it is not one or its exam is gone."""
        count = result.GetNumberOfNodeReferences(EXAM_ROLE)
        exam_nodes = [result.GetNthNodeReference(EXAM_ROLE, i) for i in range(count)]
        if not exam_nodes or any(node is None for node in exam_nodes):
            raise InputError(
                f"'{result.GetName()}' does not belong to a DCE exam of this scene; select a result of the Subregion "
                "Habitat module, or run that module first."
            )
        return cls(exam_nodes)

    def find(self, kind: str):
        """The result node of this kind, or None."""
        return next((node for node in self.all() if node.GetAttribute(KIND_ATTRIBUTE) == kind), None)

    def all(self) -> list:
        """Every result node of this exam, in the order of the scene."""
        wanted = [node.GetID() for node in self.exam_nodes]
        nodes = (self.scene.GetNthNode(i) for i in range(self.scene.GetNumberOfNodes()))
        return [node for node in nodes if node.GetAttribute(KIND_ATTRIBUTE) and _exam_ids(node) == wanted]

    def node(self, kind: str, class_name: str, name: str):
        """The result node of this kind; made, and put into the exam's folder, when there is none."""
        found = self.find(kind)
        if found is not None and found.IsA(class_name):
            return found
        made = self.scene.AddNewNodeByClass(class_name, self.scene.GenerateUniqueName(name))
        made.SetAttribute(KIND_ATTRIBUTE, kind)
        for exam_node in self.exam_nodes:
            made.AddNodeReferenceID(EXAM_ROLE, exam_node.GetID())
        self._put_into_folder(made)
        return made

    def remove(self, prefix: str, keep: Sequence[str] = ()) -> None:
        """Remove the result nodes whose kind starts with ``prefix``, except the kinds in ``keep``."""
        for node in self.all():
            kind = node.GetAttribute(KIND_ATTRIBUTE)
            if kind.startswith(prefix) and kind not in keep:
                self.scene.RemoveNode(node)

    def folder(self) -> int:
        """The subject hierarchy item of the folder that holds the results, made when absent."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        exam_id = self.exam_nodes[0].GetID()
        item = hierarchy.GetItemByDataNode(self.exam_nodes[0])
        parent = hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()
        children = vtk.vtkIdList()
        hierarchy.GetItemChildren(parent, children)
        for index in range(children.GetNumberOfIds()):
            if hierarchy.GetItemAttribute(children.GetId(index), FOLDER_EXAM_ATTRIBUTE) == exam_id:
                return children.GetId(index)
        folder = hierarchy.CreateFolderItem(parent, f"IITH {self.exam_nodes[0].GetName()}")
        hierarchy.SetItemAttribute(folder, FOLDER_EXAM_ATTRIBUTE, exam_id)
        return folder

    def _put_into_folder(self, node) -> None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        folder = self.folder()
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, folder)
        else:
            hierarchy.CreateItem(folder, node)


def _exam_ids(node) -> list[str]:
    return [node.GetNthNodeReferenceID(EXAM_ROLE, i) for i in range(node.GetNumberOfNodeReferences(EXAM_ROLE))]
